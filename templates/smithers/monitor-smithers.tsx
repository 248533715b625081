/* smithers
name: monitor-smithers
display-name: Monitor the Fleet (smithers-nb)
source: generated
metadata-version: 1
description: Says how every run of several projects is doing, what recurs and what to do first; only proposes, and needs no model, no key and no network.
tags: [ops, debugging]
system: true
*/
/** @jsxImportSource smithers-orchestrator */
// Written by `smithers-nb init --smithers`. Edit it as you like: an edited file is only replaced with --force.
import { createSmithers } from "smithers-orchestrator";
import { resolve } from "node:path";
import { z } from "zod/v4";

// How to call smithers-nb; SMITHERS_NB names another program.
const INSTALLED: string[] = ["@@COMMAND@@"];
const PROJECT = resolve(import.meta.dir, "../..");
const smithersNb = process.env.SMITHERS_NB ? [process.env.SMITHERS_NB] : INSTALLED;

const inputSchema = z.object({
  projects: z.array(z.string()).nullable().default(null).describe("Folders, stores or URLs; this project by default."),
  staleMinutes: z.number().default(15).describe("A task without activity for longer than this counts as stuck."),
});

const any = z.array(z.looseObject({}));

const rowSchema = z.object({
  verdict: z.string(),
  projectsSeen: z.number(),
  runsSeen: z.number(),
  staleThresholdMinutes: z.number(),
  healthyRuns: z.number(),
  unhealthyRuns: z.number(),
  escalations: z.number(),
  fixesApplied: z.number(),
  summary: z.string(),
  buckets: z.record(z.string(), z.array(z.string())),
  actions: any,
  recurring: any,
  flaky: any,
  reportPath: z.string().nullable(),
  frames: z.array(z.string()),
  problems: z.array(z.string()),
  notebook: z.string(),
});

const { Workflow, Task, smithers, outputs } = createSmithers({ input: inputSchema, nbFleet: rowSchema });

async function row(...args: string[]): Promise<any> {
  const child = Bun.spawn([...smithersNb, "monitor-smithers", "--no-post-failure", "--format", "json", ...args], {
    cwd: PROJECT,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  const code = await child.exited;
  // The engine files every error that says "abort" as a cancellation, so ours must not.
  if (code !== 0) throw new Error(`smithers-nb ended with exit code ${code}: ${err.trim().replace(/abort/gi, "stop")}`);
  return JSON.parse(out);
}

export default smithers((ctx) => {
  const input = ctx.input ?? {}; // `smithers graph` renders without input
  return (
    <Workflow name="monitor-smithers">
      <Task id="output" output={outputs.nbFleet} retries={0} timeoutMs={30 * 60_000}>
        {async () => {
          const stale = ["--stale-minutes", String(input.staleMinutes ?? 15)];
          const places = input.projects?.length ? input.projects : [PROJECT];
          const found = await row(...stale, "--artifacts", resolve(PROJECT, "artifacts"), "--", ...places);
          return Object.fromEntries(Object.keys(rowSchema.shape).map((name) => [name, found[name]]));
        }}
      </Task>
    </Workflow>
  );
});
