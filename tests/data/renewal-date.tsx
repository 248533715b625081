/** @jsxImportSource smithers-orchestrator */
import { createSmithers, Subflow, HumanTask, ClaudeCodeAgent } from "smithers-orchestrator";
import { z } from "zod/v4";
import { execSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
const { Workflow, Task, Sequence, Parallel, Loop, Approval, smithers, outputs } = createSmithers({due: z.object({ due: z.string(), owner: z.string() }), slot: z.object({ at: z.string() })});
export default smithers((ctx) => { const input = ctx.input as any; const due = ctx.outputMaybe(outputs.due, { nodeId: "ask-due" }); return (<Workflow name="renewal-date"><Sequence>
<HumanTask id="ask-due" output={outputs.due} prompt="When is the renewal due?" maxAttempts={3} />
{due ? <Task id="schedule" output={outputs.slot} retries={0}>{async () => ({ at: new Date(due.due).toISOString() })}</Task> : null}
</Sequence></Workflow>); });
