// An echo bot in grammY with its runner, as its documentation writes one; it keeps nothing.

import { run } from "@grammyjs/runner";
import { Bot } from "grammy";

const bot = new Bot(process.env.BENCH_TOKEN, { client: { apiRoot: process.env.BENCH_API } });
bot.on("message:text", (ctx) => ctx.reply(ctx.message.text));

const runner = run(bot);
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => {
    runner.stop();
    setTimeout(() => process.exit(0), 200).unref();
  });
}
