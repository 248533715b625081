/** @jsxImportSource smithers-orchestrator */
import { createSmithers } from "smithers-orchestrator";
import { z } from "zod/v4";
import { Approval } from "smithers-orchestrator";
import { connect } from "node:net";
const { Workflow, Task, Sequence, smithers, outputs } = createSmithers({ input: z.object({ month: z.string().default("2026-10"), gate: z.boolean().default(false), smtp: z.number().default(0) }), letters: z.object({ n: z.number() }), gate: z.object({ approved: z.boolean(), note: z.string().nullable(), decidedBy: z.string().nullable(), decidedAt: z.string().nullable() }), sent: z.object({ n: z.number() }) });
const smtp = (port: number) => new Promise<void>((res, rej) => { if (!port) return res(); const s = connect(port, "127.0.0.1"); s.on("error", rej); s.on("connect", () => { s.end(); res(); }); });
export default smithers((ctx) => (<Workflow name="invoice-mailer"><Sequence>
  <Task id="render-letters" output={outputs.letters} retries={0}>{async () => ({ n: 3 })}</Task>
  {ctx.input.gate ? <Approval id="release-mail" output={outputs.gate} request={{ title: "Send 3 letters?" }} /> : null}
  <Task id="send-letters" output={outputs.sent} retries={1} retryPolicy={{ backoff: "fixed", initialDelayMs: 100 }}>{async () => { await smtp(ctx.input.smtp); return { n: 3 }; }}</Task>
</Sequence></Workflow>));
