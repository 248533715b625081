/** @jsxImportSource smithers-orchestrator */
import { Database } from "bun:sqlite";
import { createSmithers } from "smithers-orchestrator";
import { z } from "zod/v4";

const { Workflow, Task, Sequence, smithers, outputs } = createSmithers({ a: z.object({ ok: z.boolean() }) });
const fullDisk = "CREATE TRIGGER full BEFORE INSERT ON _smithers_attempts WHEN NEW.node_id = 'second' BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END";
export default smithers((ctx) => (
  <Workflow name="walking-dead"><Sequence>
    <Task id="first" output={outputs.a}>{async () => { const db = new Database("smithers.db"); db.exec(fullDisk); db.close(); return { ok: true }; }}</Task>
    <Task id="second" output={outputs.a}>{async () => ({ ok: true })}</Task>
  </Sequence></Workflow>
));
