import { z } from "zod";
import { createSmithers, Task, Sequence } from "smithers-orchestrator";

const { Workflow, smithers } = createSmithers({
  feed: z.object({ rows: z.number() }),
  price: z.object({ total: z.number() }),
}, { dbPath: "smithers.db" });

const parser = {
  id: "parser",
  async generate() {
    const feed: any = {};
    return { output: { total: feed.items.length } };
  },
} as any;

export default smithers(() => (
  <Workflow name="price-sync">
    <Sequence>
      <Task id="feed" output="feed">{{ rows: 3 }}</Task>
      <Task id="price" output="price" agent={parser} retries={1}>Price the feed</Task>
    </Sequence>
  </Workflow>
));
