// mercurius with jit: hand-written resolvers and loaders over pg, the same statements as those of the tuned Strawberry.
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import Fastify from "fastify";
import { GraphQLScalarType } from "graphql";
import mercurius from "mercurius";
import { cursor, globalId, limitsOf, openPool, subjectOf, world } from "./world.mjs";

const statements = JSON.parse(readFileSync(new URL("statements.json", import.meta.url), "utf8"));
const pool = openPool();

// By name, so that each connection prepares it once.
const query = async (name, ...values) => (await pool.query({ name, text: statements[name], values })).rows;
const own = (name, context, ...values) => query(name, world.issuer, context.subject, ...values);

const scan = (row) => ({
  ...row,
  id: globalId("Scan", row.id),
  startedAt: row.started_at,
  finishedAt: row.finished_at,
  createdAt: row.created_at,
  findingCounts: row,
});

const resolvers = {
  DateTime: new GraphQLScalarType({ name: "DateTime" }),
  Date: new GraphQLScalarType({ name: "Date" }),
  Decimal: new GraphQLScalarType({ name: "Decimal" }),
  Query: {
    async me(_root, _args, context) {
      const [row] = await own("me", context);
      return row && {
        key: row.id,
        id: globalId("User", row.id),
        email: row.email,
        fullName: row.full_name,
        username: row.username,
        tier: row.tier,
        inviteValidated: row.invite_validated,
        createdAt: row.created_at,
        trial: { endsAt: row.trial_ends_at },
        limits: limitsOf(row.tier, row.used),
      };
    },
    async scans(_root, { first }, context) {
      const rows = await own("scans", context, first + 1);
      const edges = rows.slice(0, first).map((row) => ({ cursor: cursor(row.created_at, row.id), node: scan(row) }));
      return { edges, pageInfo: { hasNextPage: rows.length > first, endCursor: edges.at(-1)?.cursor ?? null } };
    },
    async portfolios(_root, { first }, context) {
      const rows = await own("portfolios", context, first);
      return { edges: rows.map((row) => ({ node: { ...row, key: row.id, id: globalId("Portfolio", row.id) } })) };
    },
  },
  ScanConnection: {
    totalCount: async (_connection, _args, context) => (await own("scan_count", context))[0].count,
  },
  Mutation: {
    async createScan(_root, { input }, context) {
      const { tool, target, status, startedAt, finishedAt } = input;
      const told = [tool, target, status, startedAt, finishedAt, new Date().toISOString()];
      const [row] = await own("make_scan", context, uuid7(), ...told);
      return { scan: scan(row) };
    },
  },
};

async function portfolioCount(asked) {
  return Promise.all(asked.map(async ({ obj }) => (await query("portfolio_count", obj.key))[0].count));
}

async function positions(asked) {
  const rows = await query("positions", asked.map(({ obj }) => obj.key), asked[0].params.first);
  const found = new Map(asked.map(({ obj }) => [obj.key, []]));
  for (const row of rows) {
    found.get(row.portfolio_id).push({
      node: {
        id: globalId("Position", row.id),
        symbol: row.symbol,
        quantity: row.quantity,
        entryPrice: row.entry_price,
        entryDate: row.entry_date,
        investmentClass: row.investment_class,
      },
    });
  }
  return asked.map(({ obj }) => ({ edges: found.get(obj.key) }));
}

// Without a cache, whose keys would be whole objects as text.
const loaders = {
  User: { portfolioCount: { loader: portfolioCount, opts: { cache: false } } },
  Portfolio: { positions: { loader: positions, opts: { cache: false } } },
};

/** Version 7: the time in milliseconds, then chance (RFC 9562). */
function uuid7() {
  const time = Date.now().toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}`;
}

const app = Fastify();
app.register(mercurius, {
  schema: readFileSync(new URL("peers.graphql", import.meta.url), "utf8"),
  resolvers,
  loaders,
  jit: 1,
  context: async (request) => ({ subject: await subjectOf(request.headers) }),
});
app.addHook("onClose", () => pool.end());
process.once("SIGTERM", () => app.close());
await app.listen({ host: "127.0.0.1", port: Number(process.argv[2]) });
