// PostGraphile 5: the schema is what it makes of the tables, with a root for the caller, limits, and the paid scan.
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { postgraphile } from "postgraphile";
import { TYPES, sideEffectWithPgClient } from "postgraphile/@dataplan/pg";
import { makePgService } from "postgraphile/adaptors/pg";
import { constant, context, lambda, object } from "postgraphile/grafast";
import { grafserv } from "postgraphile/grafserv/node";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";
import { extendSchema, gql } from "postgraphile/utils";
import { limitsOf, openPool, subjectOf, world } from "./world.mjs";

const statements = JSON.parse(readFileSync(new URL("statements.json", import.meta.url), "utf8"));
const pool = openPool();

const typeDefs = gql`
  type Limits {
    maxPortfolios: Int
    maxAiMessages: Int
    aiMessagesUsed: Int!
    aiMessagesRemaining: Int
    aiMessagesResetAt: Datetime
  }
  type PushedScan {
    id: UUID!
    tool: String!
    status: String!
    created_at: Datetime!
  }
  input PushScanInput {
    tool: String!
    target: String!
    status: String!
    startedAt: Datetime!
    finishedAt: Datetime!
  }
  extend type Query {
    me: User
  }
  extend type User {
    limits: Limits!
  }
  extend type Mutation {
    pushScan(input: PushScanInput!): PushedScan
  }
`;

const plugin = extendSchema((build) => {
  const { sql, pgResources } = build;
  const { identities, users } = pgResources;
  const where = ($rows, ...columns) => {
    for (const column of columns) {
      $rows.where(sql`${$rows}.${sql.identifier(column)} is null`);
    }
    return $rows.single();
  };
  return {
    typeDefs,
    objects: {
      Query: {
        plans: {
          me() {
            const caller = { issuer: constant(world.issuer), subject: context().get("subject") };
            const $identity = where(identities.find(caller), "deleted_at");
            return where(users.find({ id: $identity.get("user_id") }), "disabled_at", "deleted_at");
          },
        },
      },
      User: {
        plans: {
          limits($user) {
            const $used = $user.select(
              sql`(select coalesce(sum(used), 0)::int from counters
                where user_id = ${$user.getClassStep()}.id and feature = 'aiMessages'
                and period = date_trunc('month', now() at time zone 'UTC')::date)`,
              TYPES.int,
            );
            return lambda([$user.get("tier"), $used], ([tier, used]) => limitsOf(tier, used), true);
          },
        },
      },
      Mutation: {
        plans: {
          pushScan(_root, { $input }) {
            const $told = object({ subject: context().get("subject"), input: $input });
            return sideEffectWithPgClient(users.executor, $told, async (client, { subject, input }) => {
              const { tool, target, status, startedAt, finishedAt } = input;
              const told = [tool, target, status, startedAt, finishedAt, new Date().toISOString()];
              const values = [world.issuer, subject, uuid7(), ...told];
              return (await client.query({ name: "make_scan", text: statements.make_scan, values })).rows[0];
            });
          },
        },
      },
    },
  };
});

const preset = {
  extends: [PostGraphileAmberPreset],
  plugins: [plugin],
  pgServices: [makePgService({ pool, schemas: ["public"] })],
  grafast: { context: async ({ node }) => ({ subject: await subjectOf(node.req.headers) }) },
  grafserv: { graphqlPath: "/graphql", graphiql: false, watch: false },
};

/** Version 7: the time in milliseconds, then chance (RFC 9562). */
function uuid7() {
  const time = Date.now().toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}`;
}

const server = createServer();
const instance = postgraphile(preset);
await instance.createServ(grafserv).addTo(server);
process.once("SIGTERM", () => process.exit(0));
server.listen(Number(process.argv[2]), "127.0.0.1");
