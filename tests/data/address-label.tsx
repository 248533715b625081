/** @jsxImportSource smithers-orchestrator */
import { createSmithers, Subflow, HumanTask, ClaudeCodeAgent } from "smithers-orchestrator";
import { z } from "zod/v4";
import { execSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
const { Workflow, Task, Sequence, Parallel, Loop, Approval, smithers, outputs } = createSmithers({input: z.object({ customer: z.object({ name: z.string(), address: z.object({ city: z.string() }).nullable() }) }), o: z.object({ label: z.string() })});
export default smithers((ctx) => { const input = ctx.input as any;  return (<Workflow name="address-label"><Sequence>
<Task id="print-label" output={outputs.o} retries={1}>{async () => { const c = input.customer; return { label: `${c.name}, ${c.address.city.toUpperCase()}` }; }}</Task>
</Sequence></Workflow>); });
