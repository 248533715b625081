/** @jsxImportSource smithers-orchestrator */
import { createSmithers } from "smithers-orchestrator";
import { z } from "zod/v4";

const { Workflow, Task, Sequence, Parallel, Approval, smithers, outputs } = createSmithers({ gate: z.object({ approved: z.boolean(), note: z.string().nullable(), decidedBy: z.string().nullable(), decidedAt: z.string().nullable() }), a: z.object({ ok: z.boolean() }) });
export default smithers((ctx) => (
  <Workflow name="two-gates"><Sequence>
    <Parallel>
    <Approval id="key-one" output={outputs.gate} request={{ title: "First key?", summary: "one" }} />
    <Approval id="key-two" output={outputs.gate} request={{ title: "Second key?", summary: "two" }} />
    </Parallel>
    <Task id="launch" output={outputs.a}>{async () => ({ ok: true })}</Task>
  </Sequence></Workflow>
));
