/** @jsxImportSource smithers-orchestrator */
import { createSmithers, Subflow, HumanTask, ClaudeCodeAgent } from "smithers-orchestrator";
import { z } from "zod/v4";
import { execSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
const { Workflow, Task, Sequence, Parallel, Loop, Approval, smithers, outputs } = createSmithers({t: z.object({ totals: z.number(), n: z.number() }), a: z.object({ amount: z.number() })});
export default smithers((ctx) => { const input = ctx.input as any;  return (<Workflow name="price-double"><Sequence>
<Task id="add-up" output={outputs.t}>{async () => ({ totals: 12, n: 4 })}</Task>
<Task id="double" output={outputs.a} deps={{ "add-up": outputs.t }} retries={0}>{async (d) => ({ amount: (d["add-up"] as any).total * 2 })}</Task>
</Sequence></Workflow>); });
