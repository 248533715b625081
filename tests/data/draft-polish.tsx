/** @jsxImportSource smithers-orchestrator */
import { createSmithers } from "smithers-orchestrator";
import { z } from "zod/v4";
const { Workflow, Task, Sequence, Loop, smithers, outputs } = createSmithers({ r: z.object({ score: z.number(), feedback: z.string() }) });
export default smithers((ctx) => { const l: any = ctx.latest("r", "grade-draft"); return (<Workflow name="draft-polish"><Loop id="polish" until={(l?.score ?? 0) >= 0.8} maxIterations={3} onMaxReached="fail"><Task id="grade-draft" output={outputs.r}  retries={0}>{async () => ({ score: 0.62, feedback: "too long" })}</Task></Loop></Workflow>); });
