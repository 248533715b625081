/** @jsxImportSource smithers-orchestrator */
import { createSmithers } from "smithers-orchestrator";
import { z } from "zod/v4";
const { Workflow, Task, Sequence, Parallel, Loop, smithers, outputs } = createSmithers({ a: z.object({ n: z.number() }) });

export default smithers((ctx) => (<Workflow name="mail-merge"><Sequence>
  <Task id="send-letters" output={outputs.a} sideEffect retries={1}>{async () => { throw new Error("SMTP 550 5.1.1 <x@acme.test>: Recipient address rejected: User unknown"); }}</Task>
</Sequence></Workflow>));