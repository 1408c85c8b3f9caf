// What a program in JavaScript does with a container, by the SDK as it is published.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import {
  BulkOperationType,
  ChangeFeedStartFrom,
  ErrorResponse,
  PatchOperationType,
  StatusCodes,
} from "@azure/cosmos";
import { client, database, fault, filled, merge, newContainer, shiftClock, split } from "./emulator.js";

after(() => client.dispose());

const inOrder = (numbers) => [...numbers].sort((a, b) => a - b);
const numbersOf = (documents) => inOrder(documents.map((each) => each.n));
const upTo = (count) => Array.from({ length: count }, (_, n) => n);

async function pagesOf(iterator) {
  const pages = [];
  while (iterator.hasMoreResults()) pages.push((await iterator.fetchNext()).resources ?? []);
  return pages;
}

async function refusal(promise) {
  const error = await promise.then(() => assert.fail("not refused"), (reason) => reason);
  assert.ok(error instanceof ErrorResponse, String(error));
  return error;
}

// Reads what is there now: the feed itself never ends.
async function changesOf(iterator) {
  const changes = [];
  while (iterator.hasMoreResults) {
    const page = await iterator.readNext();
    if (page.statusCode === StatusCodes.NotModified) return { changes, token: page.continuationToken };
    changes.push(...page.result);
  }
}

test("databases and containers", async () => {
  assert.equal((await database.read()).resource.id, "shop");
  const container = await newContainer({ defaultTtl: 60, throughput: 700 });
  const { resource } = await container.read();
  assert.equal(resource.defaultTtl, 60);
  assert.deepEqual(resource.partitionKey.paths, ["/cartId"]);
  const { resource: offer } = await container.readOffer();
  assert.equal(offer.content.offerThroughput, 700);
  const { resources } = await database.containers.readAll().fetchAll();
  assert.ok(resources.some((each) => each.id === container.id));
  await container.replace({ ...resource, defaultTtl: -1 });
  assert.equal((await container.read()).resource.defaultTtl, -1);
  await container.delete();
  assert.equal((await refusal(container.read())).code, 404);
});

test("documents are created, read, replaced, upserted, deleted", async () => {
  const container = await newContainer();
  const mug = { id: "1", cartId: "a", name: "Mug" };
  assert.equal((await container.items.create(mug)).statusCode, 201);
  assert.equal((await refusal(container.items.create(mug))).code, 409);
  const item = container.item("1", "a");
  assert.equal((await item.read()).resource.name, "Mug");
  assert.equal((await item.replace({ ...mug, name: "Cup" })).resource.name, "Cup");
  const { resource } = await container.items.upsert({ ...mug, name: "Jug" });
  assert.equal(resource.name, "Jug");
  assert.equal((await item.delete()).statusCode, 204);
  assert.equal((await item.read()).statusCode, 404);
});

test("ids of all kinds", async () => {
  const container = await newContainer();
  for (const id of ["a b", "50%", "été", "購物車", "a+b", "q&a=1", "'quoted'", '"quoted"', "a,b;c"]) {
    await container.items.create({ id, cartId: id });
    assert.equal((await container.item(id, id).read()).resource?.id, id);
    assert.equal((await container.item(id, id).delete()).statusCode, 204);
  }
});

test("partition keys of all kinds", async () => {
  const container = await newContainer();
  for (const cartId of ["", "x".repeat(200), 0, -1.5, true, null]) {
    await container.items.create({ id: "1", cartId });
    assert.equal((await container.item("1", cartId).read()).resource.cartId, cartId);
  }
  const { resource } = await container.items.create({ id: "none" });
  assert.equal((await container.item("none", undefined).read()).resource._rid, resource._rid);
});

test("a key of three levels, and queries by its first", async () => {
  const container = await newContainer({
    partitionKey: { paths: ["/shop", "/day", "/cartId"], kind: "MultiHash", version: 2 },
  });
  for (const n of upTo(12)) {
    const document = { id: String(n), shop: `s${n % 2}`, day: `d${n % 3}`, cartId: `c${n}`, n };
    await container.items.create(document);
  }
  assert.equal((await container.item("5", ["s1", "d2", "c5"]).read()).resource.n, 5);
  const iterator = container.items.query("SELECT * FROM c", { partitionKey: ["s1"], maxItemCount: 2 });
  assert.deepEqual(numbersOf((await pagesOf(iterator)).flat()), [1, 3, 5, 7, 9, 11]);
});

test("an etag guards a write", async () => {
  const container = await newContainer();
  const { resource, etag } = await container.items.create({ id: "1", cartId: "a" });
  const item = container.item("1", "a");
  const guarded = { accessCondition: { type: "IfMatch", condition: etag } };
  await item.replace({ ...resource, n: 1 }, guarded);
  assert.equal((await refusal(item.replace({ ...resource, n: 2 }, guarded))).code, 412);
  assert.equal((await item.read()).resource.n, 1);
});

test("queries with small pages meet every document once", async () => {
  const container = await newContainer();
  await filled(container, 30);
  const pages = await pagesOf(container.items.query("SELECT * FROM c", { maxItemCount: 4 }));
  assert.ok(pages.every((each) => each.length <= 4));
  assert.deepEqual(numbersOf(pages.flat()), upTo(30));
});

test("queries with parameters in one partition", async () => {
  const container = await newContainer();
  await filled(container, 9);
  const query = {
    query: "SELECT VALUE c.n FROM c WHERE c.n >= @least",
    parameters: [{ name: "@least", value: 4 }],
  };
  const { resources } = await container.items.query(query, { partitionKey: "cart 1" }).fetchAll();
  assert.deepEqual(inOrder(resources), [4, 5]);
});

for (const [name, more] of [
  ["as it comes", {}],
  ["with a plan", { enableQueryControl: true, forceQueryPlan: true }],
]) {
  test(`a query goes on by its continuation, ${name}`, async () => {
    const container = await newContainer();
    await filled(container, 12);
    const found = [];
    let continuationToken;
    do {
      const options = { maxItemCount: 5, continuationToken, ...more };
      const page = await container.items.query("SELECT * FROM c", options).fetchNext();
      found.push(...(page.resources ?? []));
      continuationToken = page.continuationToken;
    } while (continuationToken);
    assert.deepEqual(numbersOf(found), upTo(12));
  });
}

for (const [name, query, expected] of [
  ["order by", "SELECT VALUE c.n FROM c ORDER BY c.n DESC", upTo(30).reverse()],
  ["offset and limit", "SELECT VALUE c.n FROM c ORDER BY c.n OFFSET 10 LIMIT 5", [10, 11, 12, 13, 14]],
  ["top", "SELECT TOP 3 VALUE c.n FROM c ORDER BY c.n", [0, 1, 2]],
  ["count", "SELECT VALUE COUNT(1) FROM c", [30]],
  ["average", "SELECT VALUE AVG(c.n) FROM c", [14.5]],
  ["largest", "SELECT VALUE MAX(c.n) FROM c WHERE c.n < 20", [19]],
  ["distinct", "SELECT DISTINCT VALUE c.cartId FROM c WHERE c.n < 3", ["cart 0"]],
]) {
  test(`queries over all partitions: ${name}`, async () => {
    const container = await newContainer();
    await filled(container, 30);
    const { resources } = await container.items.query(query, { maxItemCount: 4 }).fetchAll();
    assert.deepEqual(resources, expected);
  });
}

test("queries over all partitions: group by", async () => {
  const container = await newContainer();
  await filled(container, 30);
  const query = "SELECT c.cartId, COUNT(1) AS items, SUM(c.n) AS total FROM c GROUP BY c.cartId";
  const { resources } = await container.items.query(query).fetchAll();
  assert.equal(resources.length, 10);
  assert.deepEqual(resources.find((each) => each.cartId === "cart 2"), {
    cartId: "cart 2",
    items: 3,
    total: 21,
  });
});

test("queries go on when a range splits between two pages", async () => {
  const container = await newContainer();
  await filled(container, 30);
  const iterator = container.items.query("SELECT * FROM c", { maxItemCount: 2 });
  const found = (await iterator.fetchNext()).resources;
  for (const range of ["0", "1", "2", "3"]) await split(container, range);
  found.push(...(await pagesOf(iterator)).flat());
  assert.deepEqual(numbersOf(found), upTo(30));
});

test("the change feed goes on across a split and a merge", async () => {
  const container = await newContainer();
  await filled(container, 12);
  const read = (start) =>
    changesOf(container.items.getChangeFeedIterator({ maxItemCount: 5, changeFeedStartFrom: start }));
  const first = await read(ChangeFeedStartFrom.Beginning());
  assert.deepEqual(numbersOf(first.changes), upTo(12));

  const { children } = await split(container, "0");
  await container.items.upsert({ id: "0", cartId: "cart 0", n: 100 });
  for (const n of upTo(6)) await container.items.create({ id: `s${n}`, cartId: `split ${n}`, n: 200 + n });
  const second = await read(ChangeFeedStartFrom.Continuation(first.token));
  assert.deepEqual(numbersOf(second.changes), [100, 200, 201, 202, 203, 204, 205]);

  await merge(container, children);
  for (const n of upTo(6)) await container.items.create({ id: `m${n}`, cartId: `merged ${n}`, n: 300 + n });
  const third = await read(ChangeFeedStartFrom.Continuation(second.token));
  assert.deepEqual(numbersOf(third.changes), [300, 301, 302, 303, 304, 305]);
  const all = await read(ChangeFeedStartFrom.Beginning());
  assert.equal(all.changes.length, 24);
});

test("the change feed of a partition key, a feed range, and from now on", async () => {
  const container = await newContainer();
  await filled(container, 12);
  const read = (start) =>
    changesOf(container.items.getChangeFeedIterator({ changeFeedStartFrom: start }));
  assert.deepEqual(numbersOf((await read(ChangeFeedStartFrom.Beginning("cart 1"))).changes), [3, 4, 5]);

  const ranges = await container.getFeedRanges();
  assert.equal(ranges.length, 4);
  const found = [];
  for (const range of ranges) found.push(...(await read(ChangeFeedStartFrom.Beginning(range))).changes);
  assert.deepEqual(numbersOf(found), upTo(12));

  const now = await read(ChangeFeedStartFrom.Now());
  assert.deepEqual(now.changes, []);
  await container.items.create({ id: "new", cartId: "a", n: 99 });
  assert.deepEqual(numbersOf((await read(ChangeFeedStartFrom.Continuation(now.token))).changes), [99]);
});

test("a batch is done whole or not at all", async () => {
  const container = await newContainer();
  const create = (id) => ({
    operationType: BulkOperationType.Create,
    resourceBody: { id, cartId: "a", n: 1 },
  });
  const patch = {
    operationType: BulkOperationType.Patch,
    id: "1",
    resourceBody: { operations: [{ op: PatchOperationType.incr, path: "/n", value: 2 }] },
  };
  const read = { operationType: BulkOperationType.Read, id: "1" };
  const fine = await container.items.batch([create("1"), create("2"), patch, read], "a");
  assert.deepEqual(fine.result.map((each) => each.statusCode), [201, 201, 200, 200]);
  assert.equal(fine.result[3].resourceBody.n, 3);

  const bad = await container.items.batch([create("3"), create("1")], "a");
  assert.deepEqual(bad.result.map((each) => each.statusCode), [424, 409]);
  assert.equal((await container.item("3", "a").read()).statusCode, 404);
});

test("bulk answers each operation for itself", async () => {
  const container = await newContainer();
  const creates = upTo(250).map((n) => ({
    operationType: BulkOperationType.Create,
    resourceBody: { id: String(n), cartId: `cart ${n}`, n },
  }));
  const created = await container.items.bulk(creates);
  assert.deepEqual(new Set(created.map((each) => each.statusCode)), new Set([201]));
  const mixed = await container.items.bulk(
    [
      creates[0],
      { operationType: BulkOperationType.Read, id: "1", partitionKey: "cart 1" },
      { operationType: BulkOperationType.Delete, id: "none", partitionKey: "cart 2" },
    ],
    { continueOnError: true },
  );
  assert.deepEqual(mixed.map((each) => each.statusCode), [409, 200, 404]);
});

test("bulk goes on when ranges split under it", async () => {
  const container = await newContainer();
  await filled(container, 3);
  for (const range of ["0", "1", "2", "3"]) await split(container, range);
  const operations = upTo(50).map((n) => ({
    operationType: BulkOperationType.Upsert,
    partitionKey: `cart ${n}`,
    resourceBody: { id: "x", cartId: `cart ${n}`, n },
  }));
  const results = await container.items.executeBulkOperations(operations);
  assert.deepEqual(new Set(results.map((each) => each.response?.statusCode)), new Set([201]));
});

test("bulk goes on while ranges split and merge", async () => {
  const container = await newContainer();
  const operations = upTo(500).map((n) => ({
    operationType: BulkOperationType.Create,
    partitionKey: `cart ${n}`,
    resourceBody: { id: String(n), cartId: `cart ${n}`, n },
  }));
  const bulk = container.items.executeBulkOperations(operations);
  await split(container, "0");
  await merge(container, (await split(container, "1")).children);
  const results = await bulk;
  assert.deepEqual(new Set(results.map((each) => each.response?.statusCode)), new Set([201]));
  const { resources } = await container.items.readAll().fetchAll();
  assert.deepEqual(numbersOf(resources), upTo(500));
});

test("a patch sets, adds, increments, replaces, moves and removes", async () => {
  const container = await newContainer();
  await container.items.create({ id: "1", cartId: "a", n: 1, tags: ["x"], old: 1, from: 7 });
  const item = container.item("1", "a");
  const { resource } = await item.patch([
    { op: "set", path: "/name", value: "Mug" },
    { op: "add", path: "/tags/-", value: "y" },
    { op: "incr", path: "/n", value: 4 },
    { op: "replace", path: "/tags/0", value: "z" },
    { op: "move", from: "/from", path: "/to" },
    { op: "remove", path: "/old" },
  ]);
  const { id, cartId, _rid, _self, _etag, _attachments, _ts, ...rest } = resource;
  assert.deepEqual(rest, { n: 5, tags: ["z", "y"], name: "Mug", to: 7 });

  const condition = "FROM c WHERE c.n = 1";
  const operations = [{ op: "set", path: "/n", value: 0 }];
  assert.equal((await refusal(item.patch({ condition, operations }))).code, 412);
});

test("documents expire, by the container's time to live or their own", async () => {
  const container = await newContainer({ defaultTtl: 100 });
  await container.items.create({ id: "short", cartId: "a", ttl: 10 });
  await container.items.create({ id: "usual", cartId: "a" });
  await container.items.create({ id: "forever", cartId: "a", ttl: -1 });
  const ids = async () => {
    const { resources } = await container.items.query("SELECT VALUE c.id FROM c").fetchAll();
    return resources.sort();
  };
  try {
    await shiftClock(11);
    assert.deepEqual(await ids(), ["forever", "usual"]);
    assert.equal((await container.item("short", "a").read()).statusCode, 404);
    await shiftClock(101);
    assert.deepEqual(await ids(), ["forever"]);
  } finally {
    await shiftClock(0);
  }
});

test("all documents of a partition key are deleted", async () => {
  const container = await newContainer();
  await filled(container, 9);
  await container.deleteAllItemsForPartitionKey("cart 1");
  const { resources } = await container.items.readAll({ maxItemCount: 2 }).fetchAll();
  assert.deepEqual(numbersOf(resources), [0, 1, 2, 6, 7, 8]);
});

test("a throttled request is tried again", async () => {
  const container = await newContainer();
  const path_prefix = `/dbs/${database.id}/colls/${container.id}`;
  await fault({ path_prefix, status: 429, substatus: 3200, retry_after_ms: 1, times: 3 });
  const { statusCode, diagnostics } = await container.items.create({ id: "1", cartId: "a" });
  assert.equal(statusCode, 201);
  const { retryDiagnostics } = diagnostics.clientSideRequestStatistics;
  assert.equal(retryDiagnostics.failedAttempts.length, 3);
});
