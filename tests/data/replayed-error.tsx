/** @jsxImportSource smithers-orchestrator */
import { createSmithers } from "smithers-orchestrator";
import { z } from "zod/v4";
import { readFileSync } from "node:fs";
const { Workflow, Task, Sequence, Parallel, Loop, smithers, outputs } = createSmithers({ a: z.object({ n: z.number() }) });

export default smithers((ctx) => (<Workflow name="font-subset"><Sequence>
  <Task id="read-font" output={outputs.a} retries={1}>{async () => { readFileSync("fonts/inter.ttf"); return { n: 1 }; }}</Task>
  <Task id="subset" output={outputs.a} retries={0}>{async () => { return { n: 1 }; }}</Task>
</Sequence></Workflow>));