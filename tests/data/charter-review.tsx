/** @jsxImportSource smithers-orchestrator */
import { createSmithers, Subflow, HumanTask, ClaudeCodeAgent } from "smithers-orchestrator";
import { z } from "zod/v4";
import { execSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
const { Workflow, Task, Sequence, Parallel, Loop, Approval, smithers, outputs } = createSmithers({d: z.object({ text: z.string() }), r: z.object({ ok: z.boolean(), findings: z.array(z.string()) })});
export default smithers((ctx) => { const input = ctx.input as any; const r = ctx.latest("r", "review") as any; return (<Workflow name="charter-review"><Sequence>
<Loop id="polish" until={r?.ok === true} maxIterations={6} onMaxReached="fail"><Sequence><Task id="draft" output={outputs.d}>{async () => ({ text: "charter v" + (ctx.iteration ?? 0) })}</Task>
<Task id="review" output={outputs.r}>{async () => ({ ok: false, findings: ["section 4 names no owner"] })}</Task></Sequence></Loop>
</Sequence></Workflow>); });
