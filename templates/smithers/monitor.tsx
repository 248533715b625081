/* smithers
name: monitor
display-name: Monitor a Run (smithers-nb)
source: generated
metadata-version: 1
description: Says how one run is doing, with every question, gate, output and change of code, as a row and a report; needs no model, no key and no network.
tags: [ops, debugging]
system: true
*/
/** @jsxImportSource smithers-orchestrator */
// Written by `smithers-nb init --smithers`. Edit it as you like: an edited file is only replaced with --force.
import { Approval, createSmithers } from "smithers-orchestrator";
import { resolve } from "node:path";
import { z } from "zod/v4";

// How to call smithers-nb; SMITHERS_NB names another program.
const INSTALLED: string[] = ["@@COMMAND@@"];
const PROJECT = resolve(import.meta.dir, "../..");
const smithersNb = process.env.SMITHERS_NB ? [process.env.SMITHERS_NB] : INSTALLED;

const inputSchema = z.object({
  targetRunId: z.string().nullable().default(null).describe("The run to look at; the most recent active one by default."),
  autofix: z.boolean().default(false).describe("Apply the smallest safe repair, if there is one."),
  requireApproval: z.boolean().default(true).describe("With autofix, ask a person before a repair."),
  staleMinutes: z.number().default(15).describe("A task without activity for longer than this counts as stuck."),
  title: z.string().nullable().default(null).describe("Title of the report."),
});

const any = z.array(z.looseObject({}));

const lookSchema = z.object({
  targetRunId: z.string().nullable(),
  health: z.string(),
  summary: z.string(),
  anySelfFixable: z.boolean(),
  command: z.string(),
});

const rowSchema = z.object({
  targetRunId: z.string().nullable(),
  state: z.string(),
  health: z.string(),
  summary: z.string(),
  waitingOn: z.string().nullable(),
  rootCause: z.string(),
  recommendedActionCount: z.number(),
  topRecommendation: z.string().nullable(),
  fixApplied: z.boolean(),
  reportPath: z.string().nullable(),
  nodeCount: z.number(),
  eventCount: z.number(),
  questions: any,
  approvals: any,
  keyOutputs: any,
  diffs: any,
  scores: any,
  recommendedActions: any,
  concerns: any,
  fix: z.looseObject({}).nullable(),
  problems: z.array(z.string()),
  notebook: z.string(),
});

const { Workflow, Task, Sequence, smithers, outputs } = createSmithers({
  input: inputSchema,
  nbLook: lookSchema,
  nbFixApproval: z.object({ approved: z.boolean() }),
  nbMonitor: rowSchema,
});

async function row(...args: string[]): Promise<any> {
  const child = Bun.spawn([...smithersNb, "monitor", "--no-ui", "--no-post-failure", "--format", "json", ...args], {
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
  const stale = ["--stale-minutes", String(input.staleMinutes ?? 15)];
  const look = ctx.outputMaybe("nbLook", { nodeId: "diagnose" });
  const approval = ctx.outputMaybe("nbFixApproval", { nodeId: "approve-fix" });
  const asks = Boolean(look && input.autofix && (input.requireApproval ?? true) && look.anySelfFixable && look.health !== "healthy");
  const fixes = Boolean(look && input.autofix && (asks ? approval?.approved === true : true));

  return (
    <Workflow name="monitor">
      <Sequence>
        {/* One look, from which it is known whether a person has to be asked. */}
        <Task id="diagnose" output={outputs.nbLook} retries={0} timeoutMs={5 * 60_000}>
          {async () => {
            const seen = await row("--no-notebook", ...stale, ...(input.targetRunId ? ["--", input.targetRunId] : []));
            const mine = seen.recommendedActions.find((one: any) => one.selfFixable);
            return {
              targetRunId: seen.targetRunId,
              health: seen.health,
              summary: seen.summary,
              anySelfFixable: Boolean(mine),
              command: mine?.command ?? "",
            };
          }}
        </Task>

        {asks ? (
          <Approval
            id="approve-fix"
            output={outputs.nbFixApproval}
            onDeny="continue"
            request={{ title: `Auto-fix run ${look?.targetRunId}?`, summary: `${look?.summary}\n\nIt would run: ${look?.command}` }}
          />
        ) : null}

        {/* The row, an executed notebook and a report; with a repair before it when that was asked for and agreed to. */}
        {look && (!asks || approval) ? (
          <Task id="output" output={outputs.nbMonitor} retries={0} timeoutMs={30 * 60_000}>
            {async () => {
              const found = await row(
                ...stale,
                "--artifacts",
                resolve(PROJECT, "artifacts"),
                ...(input.title ? ["--title", input.title] : []),
                ...(fixes ? ["--autofix", "--no-require-approval"] : []),
                ...(look.targetRunId ? ["--", look.targetRunId] : []),
              );
              return Object.fromEntries(Object.keys(rowSchema.shape).map((name) => [name, found[name]]));
            }}
          </Task>
        ) : null}
      </Sequence>
    </Workflow>
  );
});
