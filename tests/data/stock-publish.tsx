/** @jsxImportSource smithers-orchestrator */
import { createSmithers, Subflow, HumanTask, ClaudeCodeAgent } from "smithers-orchestrator";
import { z } from "zod/v4";
import { execSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
const { Workflow, Task, Sequence, Parallel, Loop, Approval, smithers, outputs } = createSmithers({f: z.object({ file: z.string() }), p: z.object({ n: z.number() })});
export default smithers((ctx) => { const input = ctx.input as any;  return (<Workflow name="stock-publish"><Sequence>
<Task id="extract-stock" output={outputs.f} retries={0} continueOnFail>{async () => { execSync("python3 /srv/ws/stock-publish/tools/extract.py --out /srv/ws/stock-publish/stock.csv", { stdio: "pipe" }); return { file: "stock.csv" }; }}</Task>
<Task id="publish-stock" output={outputs.p} retries={0}>{async () => ({ n: readFileSync("/srv/ws/stock-publish/stock.csv", "utf8").length })}</Task>
</Sequence></Workflow>); });
