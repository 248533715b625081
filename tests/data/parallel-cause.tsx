/** @jsxImportSource smithers-orchestrator */
import { createSmithers } from "smithers-orchestrator";
import { z } from "zod/v4";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
const { Workflow, Task, Sequence, Parallel, Loop, smithers, outputs } = createSmithers({ a: z.object({ n: z.number() }) });

export default smithers((ctx) => (<Workflow name="schema-pipeline"><Sequence>
<Parallel>
  <Task id="export-schema" output={outputs.a} retries={0}>{async () => { await new Promise((r) => setTimeout(r, 300)); const spec: any = {}; writeFileSync("schema.json", JSON.stringify(spec.tables.map((t: any) => t.name))); return { n: 1 }; }}</Task>
  <Task id="validate-schema" output={outputs.a} retries={0}>{async () => { for (let i = 0; i < 10 && !existsSync("schema.json"); i++) await new Promise((r) => setTimeout(r, 200)); readFileSync("schema.json"); return { n: 1 }; }}</Task>
</Parallel>
</Sequence></Workflow>));