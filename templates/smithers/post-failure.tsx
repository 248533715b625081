/* smithers
name: post-failure
display-name: Post-Failure Autopsy (smithers-nb)
source: generated
metadata-version: 1
description: Finds out why a run failed from its store alone, with smithers-nb; needs no model, no key and no network.
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
const MOST_SHOWN = 6_000;
const PROJECT = resolve(import.meta.dir, "../..");
const smithersNb = process.env.SMITHERS_NB ? [process.env.SMITHERS_NB] : INSTALLED;

const inputSchema = z.object({
  targetRunId: z.string().trim().min(1).describe("The failed run to look at."),
  workflowPath: z.string().nullable().default(null).describe("Its workflow's file, when the launcher knows it."),
});

const gatherSchema = z.object({
  ok: z.boolean(),
  state: z.string(),
  runError: z.string(),
  lastEvents: z.array(z.string()),
  smithersVersion: z.string(),
  summary: z.string(),
  lookedIntoBy: z.string(),
});

const evidenceSchema = z.object({ ref: z.string(), quote: z.string() });

const investigateSchema = z.object({
  rootCause: z.string(),
  failureClass: z.string(),
  confidence: z.string(),
  suggestion: z.string(),
  suggestionDetail: z.string(),
  commands: z.array(z.string()),
  evidence: z.array(evidenceSchema),
  rule: z.string(),
  signature: z.string(),
  runsWithIt: z.number(),
  lastGoodRun: z.string().nullable(),
  summary: z.string(),
  report: z.string(),
  notebook: z.string(),
});

// Kept as it was shown, with its address: what is sent later is this, wherever the environment points by then.
const bugProposalSchema = z.object({ title: z.string(), endpoint: z.string(), shown: z.string(), proposal: z.string() });

const bugReportSchema = z.object({ filed: z.boolean(), bugId: z.string(), bugUrl: z.string(), detail: z.string() });

const verdictSchema = z.object({
  targetRunId: z.string(),
  ...investigateSchema.shape,
  bugFiled: z.boolean(),
  bugId: z.string(),
  bugUrl: z.string(),
});

const { Workflow, Task, Sequence, smithers, outputs } = createSmithers({
  input: inputSchema,
  nbGather: gatherSchema,
  nbInvestigate: investigateSchema,
  nbBugProposal: bugProposalSchema,
  nbBugApproval: z.object({ approved: z.boolean() }),
  nbBugReport: bugReportSchema,
  nbVerdict: verdictSchema,
});

type Told = { code: number; out: string; err: string };

async function ask(...args: string[]): Promise<Told> {
  return askWith("", ...args);
}

async function askWith(input: string, ...args: string[]): Promise<Told> {
  const child = Bun.spawn([...smithersNb, ...args], {
    stdin: new Blob([input]),
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, SMITHERS_POST_FAILURE: "0" },
  });
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { code: await child.exited, out, err };
}

// The engine files every error that says "abort" as a cancellation, so ours must not.
function stopped(told: Told): Error {
  const said = told.err.trim().replace(/abort/gi, "stop") || "it said nothing";
  return new Error(`smithers-nb ended with exit code ${told.code}: ${said}`);
}

function line(event: { seq: number; at: number; type: string; nodeId: string | null }): string {
  return [event.seq, new Date(event.at).toISOString(), event.type, event.nodeId ?? ""].join(" ").trim();
}

export default smithers((ctx) => {
  const given = ctx.input?.targetRunId; // `smithers graph` renders without input
  const target = typeof given === "string" && given.trim() ? given.trim() : "<target-run-id>";
  const file = ctx.input?.workflowPath ? ["--workflow-path", ctx.input.workflowPath] : [];

  // The engine's own trigger names a run so; what it launches gives way to an autopsy that somebody else has launched meanwhile.
  const launched = /^post-failure-[0-9a-z]+-[0-9a-z]{6}$/.test(String(ctx.runId ?? ""));
  const gathered = ctx.outputMaybe("nbGather", { nodeId: "gather" });
  const proposal = ctx.outputMaybe("nbBugProposal", { nodeId: "propose-bug-report" });
  const found = ctx.outputMaybe("nbInvestigate", { nodeId: "investigate" });
  const approval = ctx.outputMaybe("nbBugApproval", { nodeId: "approve-bug-report" });
  const report = ctx.outputMaybe("nbBugReport", { nodeId: "report-bug" });
  const suspected = found?.failureClass === "smithers-bug";
  const settled = found && (!suspected || approval?.approved === false || report);

  return (
    <Workflow name="post-failure">
      <Sequence>
        {/* What the store says, before anybody judges it. */}
        <Task id="gather" output={outputs.nbGather} retries={0} timeoutMs={5 * 60_000}>
          {async () => {
            const seen = await ask("inspect", target, "--format", "json");
            if (seen.code !== 0) throw stopped(seen);
            const { run, autopsies } = JSON.parse(seen.out);
            const others = launched ? autopsies.filter((one: { runId: string }) => one.runId !== ctx.runId) : [];
            const log = await ask("events", target, "--format", "json");
            const version = await ask("--version");
            const runError = typeof run.errorMessage === "string" ? run.errorMessage : "";
            return {
              ok: true,
              state: run.state,
              runError,
              lastEvents: log.code === 0 ? JSON.parse(log.out).slice(-80).map(line) : [],
              smithersVersion: version.out.trim(),
              summary:
                `Run ${target} is ${run.state}${runError ? `: ${runError.slice(0, 200)}` : ""}` +
                (others.length ? `. ${others[0].runId} looks into it already: smithers-nb output ${others[0].runId} output` : ""),
              lookedIntoBy: others.length ? others[0].runId : "",
            };
          }}
        </Task>

        {/* The failure that mattered, whose fault it is, what to do: an executed notebook, a report and a row. */}
        {gathered && !gathered.lookedIntoBy ? (
        <Task id="investigate" output={outputs.nbInvestigate} retries={0} timeoutMs={30 * 60_000}>
          {async () => {
            const done = await ask("autopsy", target, "--artifacts", resolve(PROJECT, "artifacts"), "--format", "json", ...file);
            if (done.code !== 0) throw stopped(done);
            const row = JSON.parse(done.out);
            return {
              rootCause: row.rootCause,
              failureClass: row.failureClass,
              confidence: row.confidence,
              suggestion: row.suggestion,
              suggestionDetail: row.suggestionDetail,
              commands: row.commands,
              evidence: row.evidence.map((one: { ref: string; quote: string }) => ({ ref: one.ref, quote: one.quote })),
              rule: row.rule,
              signature: row.signature,
              runsWithIt: row.recurrence.runs,
              lastGoodRun: row.lastGoodRun?.runId ?? null,
              summary: row.summary,
              report: row.report,
              notebook: row.notebook,
            };
          }}
        </Task>
        ) : null}

        {/* What a report would say and where it would go, kept before anybody is asked. */}
        {suspected ? (
          <Task id="propose-bug-report" output={outputs.nbBugProposal} retries={0} timeoutMs={5 * 60_000}>
            {async () => {
              const proposed = await ask("bug", "--run", target, "--propose", "--format", "json");
              if (proposed.code !== 0) throw stopped(proposed);
              const { endpoint, payload } = JSON.parse(proposed.out);
              return { title: payload.title, endpoint, shown: JSON.stringify(payload, null, 2), proposal: proposed.out };
            }}
          </Task>
        ) : null}

        {/* Only when the engine itself is suspected, and nothing is sent without a yes. */}
        {suspected && proposal && !approval ? (
          <Approval
            id="approve-bug-report"
            output={outputs.nbBugApproval}
            onDeny="continue"
            request={{
              title: "The engine itself is suspected: report it to its makers?",
              summary:
                `${found.rootCause}\n\nClass ${found.failureClass}, confidence ${found.confidence}. ` +
                `Approve to send exactly this to ${proposal.endpoint}; deny to keep the verdict and send nothing.\n\n` +
                proposal.shown.slice(0, MOST_SHOWN) +
                (proposal.shown.length > MOST_SHOWN ? `\n… all of it: smithers output ${ctx.runId} propose-bug-report` : ""),
            }}
          />
        ) : null}

        {suspected && proposal && approval?.approved ? (
          <Task id="report-bug" output={outputs.nbBugReport} retries={0} timeoutMs={2 * 60_000}>
            {async () => {
              const sent = await askWith(proposal.proposal, "bug", "--send", "-", "--yes", "--format", "json");
              if (sent.code !== 0) return { filed: false, bugId: "", bugUrl: "", detail: sent.err.trim().slice(-1000) };
              const answer = JSON.parse(sent.out);
              return { filed: true, bugId: answer.id ?? "", bugUrl: answer.url ?? "", detail: `sent to ${answer.endpoint}` };
            }}
          </Task>
        ) : null}

        {/* The row that `smithers output` prints. */}
        {settled ? (
          <Task id="output" output={outputs.nbVerdict} retries={0}>
            {() => ({
              targetRunId: target,
              ...found,
              bugFiled: report?.filed ?? false,
              bugId: report?.bugId ?? "",
              bugUrl: report?.bugUrl ?? "",
            })}
          </Task>
        ) : null}
      </Sequence>
    </Workflow>
  );
});
