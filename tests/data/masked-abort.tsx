/** @jsxImportSource smithers-orchestrator */
import { createSmithers } from "smithers-orchestrator";
import { z } from "zod/v4";
import { OpenAIAgent } from "smithers-orchestrator";
const writer: any = { id: "writer", generate: async () => { throw new Error("upstream request was aborted by the gateway (client_disconnect, 499)"); } };
const { Workflow, Task, Sequence, smithers, outputs } = createSmithers({ mail: z.object({ text: z.string() }) });
export default smithers((ctx) => (<Workflow name="digest-mailer"><Sequence><Task id="write-mail" output={outputs.mail} agent={writer} retries={2}>Write. JSON with text.</Task></Sequence></Workflow>));