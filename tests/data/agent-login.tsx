/** @jsxImportSource smithers-orchestrator */
import { createSmithers } from "smithers-orchestrator";
import { z } from "zod/v4";
import { ClaudeCodeAgent } from "smithers-orchestrator";
const dev = new ClaudeCodeAgent({ id: "dev", model: "claude-sonnet-5" });
const { Workflow, Task, Sequence, smithers, outputs } = createSmithers({ plan: z.object({ n: z.number() }), change: z.object({ summary: z.string() }) });
export default smithers((ctx) => (<Workflow name="vuln-fixer"><Sequence>
  <Task id="plan" output={outputs.plan}>{{ n: 2 }}</Task>
  <Task id="fix-cve" output={outputs.change} agent={dev} retries={1} >Fix the failing spec. Return JSON with summary.</Task>
</Sequence></Workflow>));