/** @jsxImportSource smithers-orchestrator */
import { createSmithers, ClaudeCodeAgent } from "smithers-orchestrator";
import { z } from "zod/v4";
const scout = new ClaudeCodeAgent({ id: "scout", model: "claude-sonnet-5" });
const { Workflow, Task, Sequence, Loop, smithers, outputs } = createSmithers({
  found: z.object({ page: z.string().nullable(), note: z.string() }),
  total: z.object({ pages: z.number(), last: z.string() }),
});
export default smithers((ctx) => {
  const found = ctx.latest("found", "scout-pages") as any;
  const total = ctx.latest("total", "add-up") as any;
  return (<Workflow name="page-harvest"><Loop id="harvest" until={(total?.pages ?? 0) >= 3} maxIterations={6}><Sequence>
    <Task id="scout-pages" output={outputs.found} agent={scout} retries={0}>Find a page that is not listed yet. Return JSON with page and note.</Task>
    <Task id="add-up" output={outputs.total} deps={{ "scout-pages": outputs.found }} retries={1}>
      {(deps: any) => ({ pages: (total?.pages ?? 0) + 1, last: deps["scout-pages"].page.toLowerCase() })}</Task>
  </Sequence></Loop></Workflow>);
});
