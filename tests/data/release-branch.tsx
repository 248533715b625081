/** @jsxImportSource smithers-orchestrator */
import { createSmithers } from "smithers-orchestrator";
import { z } from "zod/v4";
const { Workflow, Task, Sequence, Loop, smithers, outputs } = createSmithers({ input: z.object({ team: z.string() }), list: z.object({ items: z.array(z.object({ name: z.string() })) }), pick: z.object({ name: z.string() }) });
export default smithers((ctx) => {  return (<Workflow name="release-branch"><Sequence><Task id="list-branches" output={outputs.list}  retries={0}>{async () => ({ items: ctx.input.team === "core" ? [{ name: "main" }] : [] })}</Task><Task id="pick-branch" output={outputs.pick} deps={{ up: outputs.list }} needs={{ up: "list-branches" }} retries={0}>{async (d: any) => ({ name: d.up.items[0].name })}</Task></Sequence></Workflow>); });
