/** @jsxImportSource smithers-orchestrator */
import { createSmithers } from "smithers-orchestrator";
import { z } from "zod/v4";

const { Workflow, Task, Sequence, Approval, smithers, outputs } = createSmithers({ gate: z.object({ approved: z.boolean(), note: z.string().nullable(), decidedBy: z.string().nullable(), decidedAt: z.string().nullable() }), a: z.object({ ok: z.boolean() }) });
export default smithers((ctx) => (
  <Workflow name="ship-it"><Sequence>
    <Task id="build" output={outputs.a}>{async () => ({ ok: true })}</Task>
    <Approval id="approve-ship" async output={outputs.gate} request={{ title: "Ship it?", summary: "to production" }} />
    <Task id="ship" output={outputs.a} needs={{ ok: "approve-ship" }}>{async () => ({ ok: true })}</Task>
  </Sequence></Workflow>
));
