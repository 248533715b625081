/** @jsxImportSource smithers-orchestrator */
import { createSmithers } from "smithers-orchestrator";
import { z } from "zod/v4";
import { Subflow } from "smithers-orchestrator";
const tax = createSmithers({ input: z.object({ country: z.string() }), vat: z.object({ rate: z.number() }) });
const RATES: Record<string, number> = { DE: 19, CH: 8.1 };
const taxFlow = tax.smithers((ctx) => (<tax.Workflow name="vat-lookup"><tax.Task id="lookup-rate" output={tax.outputs.vat} retries={0}>{async () => ({ rate: Number((RATES[ctx.input.country] as any).toFixed(2)) })}</tax.Task></tax.Workflow>), { output: tax.outputs.vat });
const price = createSmithers({ input: z.object({ country: z.string() }), price: z.object({ rate: z.number() }) });
const priceFlow = price.smithers((ctx) => (<price.Workflow name="price-calc"><Subflow id="run-vat" workflow={taxFlow} input={{ country: ctx.input.country }} output={price.outputs.price} retries={0} /></price.Workflow>), { output: price.outputs.price });
const { Workflow, Task, Sequence, smithers, outputs } = createSmithers({ order: z.object({ id: z.string() }), total: z.object({ rate: z.number() }) });
export default smithers((ctx) => (<Workflow name="order-flow"><Sequence><Task id="load-order" output={outputs.order}>{{ id: "o-9" }}</Task><Subflow id="run-pricing" workflow={priceFlow} input={{ country: "LI" }} output={outputs.total} retries={0} /></Sequence></Workflow>));