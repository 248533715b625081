/** @jsxImportSource smithers-orchestrator */
import { createSmithers } from "smithers-orchestrator";
import { z } from "zod/v4";
const { Workflow, Task, Sequence, smithers, outputs } = createSmithers({ input: z.object({ month: z.string().default("2026-10") }), fetched: z.object({ entries: z.array(z.object({ cents: z.number() })) }), posted: z.object({ total: z.number() }), closed: z.object({ ok: z.boolean() }) });
const load = async (month: string) => ({ entries: [1200, 880, month.length * 100].map((cents) => ({ cents })) });
export default smithers((ctx) => (<Workflow name="ledger-close"><Sequence>
  <Task id="fetch-entries" output={outputs.fetched} retries={0}>{async () => load(ctx.input.month)}</Task>
  <Task id="post-entries" output={outputs.posted} deps={{ "fetch-entries": outputs.fetched }} retries={1} retryPolicy={{ backoff: "fixed", initialDelayMs: 100 }}>{async (d) => ({ total: d["fetch-entries"].entries.reduce((s, e) => s + e.cents, 0) })}</Task>
  <Task id="close-books" output={outputs.closed} retries={0}>{async () => ({ ok: true })}</Task>
</Sequence></Workflow>));
