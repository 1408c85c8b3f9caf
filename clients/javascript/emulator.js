// The emulator that the suite was started against: a client, fresh containers, control requests.

import { CosmosClient } from "@azure/cosmos";
import { randomUUID } from "node:crypto";

const { COSMOS_ENDPOINT: endpoint, COSMOS_KEY: key } = process.env;

export const client = new CosmosClient({ endpoint, key });
export const { database } = await client.databases.createIfNotExists({ id: "shop" });

// A container of its own for each test, with the four ranges that the emulator gives.
export async function newContainer(definition = {}) {
  const { container } = await database.containers.create({
    id: `cart-${randomUUID()}`,
    partitionKey: { paths: ["/cartId"], version: 2 },
    ...definition,
  });
  return container;
}

// `count` documents over `count / 3` carts, with their number as `n`.
export async function filled(container, count) {
  const documents = Array.from({ length: count }, (_, n) => ({
    id: String(n),
    cartId: `cart ${Math.floor(n / 3)}`,
    n,
  }));
  await Promise.all(documents.map((each) => container.items.create(each)));
  return documents;
}

async function control(path, body) {
  const answer = await fetch(`${endpoint}_emulator/${path}`, {
    method: "POST",
    body: JSON.stringify(body),
  });
  const json = await answer.json();
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${json.message}`);
  return json;
}

const of = (container) => `dbs/${database.id}/colls/${container.id}`;

export const split = (container, range) => control(`${of(container)}/split`, { range });
export const merge = (container, ranges) => control(`${of(container)}/merge`, { ranges });
export const shiftClock = (seconds) => control("clock", { offset_seconds: seconds });
export const fault = (description) => control("faults", description);
