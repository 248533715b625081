/** @jsxImportSource smithers-orchestrator */
import { createSmithers, Sequence, Task } from "smithers-orchestrator";
import { z } from "zod";
import { existsSync } from "node:fs";
const { Workflow, smithers, outputs } = createSmithers({
  input: z.object({ market: z.string() }),
  rates: z.object({ n: z.number(), rows: z.array(z.number()) }),
  check: z.object({ passed: z.boolean() }),
  quote: z.object({ amount: z.number() }),
});
export default smithers((ctx) => (
  <Workflow name="pricing">
    <Sequence>
      <Task id="load-rates" output={outputs.rates} retries={0}>
        {async () => (existsSync("ok") ? { n: 3, rows: [1, 2, 3] } : { n: 0, rows: [] })}
      </Task>
      <Task id="check-rates" output={outputs.check} retries={0}>{async () => ({ passed: existsSync("ok") })}</Task>
      <Task id="quote" output={outputs.quote} retries={1}>
        {async () => {
          if (!existsSync("ok")) throw new Error("tariff table is empty for " + ctx.input.market);
          return { amount: 12.5 };
        }}
      </Task>
    </Sequence>
  </Workflow>
));
