/* smithers
name: triage-run
display-name: Triage a Run (smithers-nb)
source: generated
metadata-version: 1
description: Recommends one thing to do about a run, fix, rewind, retry or escalate, from its store alone; needs no model, no key and no network.
tags: [ops, debugging]
system: true
*/
/** @jsxImportSource smithers-orchestrator */
// Written by `smithers-nb init --smithers`. Edit it as you like: an edited file is only replaced with --force.
import { createSmithers } from "smithers-orchestrator";
import { z } from "zod/v4";

// How to call smithers-nb; SMITHERS_NB names another program.
const INSTALLED: string[] = ["@@COMMAND@@"];
const smithersNb = process.env.SMITHERS_NB ? [process.env.SMITHERS_NB] : INSTALLED;

const inputSchema = z.object({
  targetRunId: z.string().trim().min(1).describe("The run to look at."),
});

const rowSchema = z.object({
  targetRunId: z.string().nullable(),
  state: z.string(),
  failingNodes: z.number(),
  pendingApprovals: z.number(),
  rootCause: z.string(),
  confidence: z.string(),
  recommendedAction: z.string(),
  command: z.string(),
  summary: z.string(),
  rationale: z.string(),
  failureClass: z.string().nullable(),
  evidence: z.array(z.object({ ref: z.string(), quote: z.string(), note: z.string() })),
  lastEvents: z.array(z.string()),
  runError: z.string(),
  problems: z.array(z.string()),
});

const { Workflow, Task, smithers, outputs } = createSmithers({ input: inputSchema, nbTriage: rowSchema });

async function row(...args: string[]): Promise<any> {
  const child = Bun.spawn([...smithersNb, "triage-run", "--format", "json", ...args], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  const code = await child.exited;
  // The engine files every error that says "abort" as a cancellation, so ours must not.
  if (code !== 0) throw new Error(`smithers-nb ended with exit code ${code}: ${err.trim().replace(/abort/gi, "stop")}`);
  return JSON.parse(out);
}

export default smithers((ctx) => {
  const target = ctx.input?.targetRunId ?? "<target-run-id>"; // `smithers graph` renders without input
  return (
    <Workflow name="triage-run">
      <Task id="output" output={outputs.nbTriage} retries={0} timeoutMs={5 * 60_000}>
        {() => row("--", target)}
      </Task>
    </Workflow>
  );
});
