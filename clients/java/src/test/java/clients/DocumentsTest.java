package clients;

import static clients.Emulator.ASYNC;
import static clients.Emulator.DATABASE;
import static clients.Emulator.JSON;
import static clients.Emulator.assertRefused;
import static clients.Emulator.control;
import static clients.Emulator.document;
import static clients.Emulator.fill;
import static clients.Emulator.merge;
import static clients.Emulator.newContainer;
import static clients.Emulator.numbers;
import static clients.Emulator.path;
import static clients.Emulator.shiftClock;
import static clients.Emulator.split;
import static clients.Emulator.upTo;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.azure.cosmos.CosmosContainer;
import com.azure.cosmos.models.CosmosBatch;
import com.azure.cosmos.models.CosmosBatchOperationResult;
import com.azure.cosmos.models.CosmosBatchResponse;
import com.azure.cosmos.models.CosmosBulkOperationResponse;
import com.azure.cosmos.models.CosmosBulkOperations;
import com.azure.cosmos.models.CosmosContainerProperties;
import com.azure.cosmos.models.CosmosItemIdentity;
import com.azure.cosmos.models.CosmosItemOperation;
import com.azure.cosmos.models.CosmosItemRequestOptions;
import com.azure.cosmos.models.CosmosItemResponse;
import com.azure.cosmos.models.CosmosPatchItemRequestOptions;
import com.azure.cosmos.models.CosmosPatchOperations;
import com.azure.cosmos.models.CosmosQueryRequestOptions;
import com.azure.cosmos.models.PartitionKey;
import com.azure.cosmos.models.PartitionKeyBuilder;
import com.azure.cosmos.models.PartitionKeyDefinition;
import com.azure.cosmos.models.PartitionKeyDefinitionVersion;
import com.azure.cosmos.models.PartitionKind;
import com.azure.cosmos.models.ThroughputProperties;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import reactor.core.publisher.Flux;

/** What a program in Java does with documents, by the SDK as it is published. */
class DocumentsTest {
    private static final PartitionKey A = new PartitionKey("a");

    @Test
    void databasesAndContainers() {
        CosmosContainerProperties wanted = new CosmosContainerProperties("kept", "/cartId");
        wanted.setDefaultTimeToLiveInSeconds(60);
        DATABASE.createContainer(wanted, ThroughputProperties.createManualThroughput(700));
        CosmosContainer container = DATABASE.getContainer("kept");
        CosmosContainerProperties read = container.read().getProperties();
        assertEquals(60, read.getDefaultTimeToLiveInSeconds());
        assertEquals(List.of("/cartId"), read.getPartitionKeyDefinition().getPaths());
        assertEquals(700, container.readThroughput().getProperties().getManualThroughput());
        assertTrue(DATABASE.readAllContainers().stream().anyMatch(each -> each.getId().equals("kept")));
        container.replace(read.setDefaultTimeToLiveInSeconds(-1));
        assertEquals(-1, container.read().getProperties().getDefaultTimeToLiveInSeconds());
        container.delete();
        assertRefused(404, container::read);
    }

    @Test
    void documentsAreCreatedReadReplacedUpsertedDeleted() {
        CosmosContainer container = newContainer();
        ObjectNode mug = document("1", "a", 1);
        assertEquals(201, container.createItem(mug).getStatusCode());
        assertRefused(409, () -> container.createItem(mug));
        assertEquals(1, read(container, "1", A).get("n").asInt());
        assertEquals(2, container.replaceItem(document("1", "a", 2), "1", A, null).getItem().get("n").asInt());
        assertEquals(3, container.upsertItem(document("1", "a", 3)).getItem().get("n").asInt());
        assertEquals(204, container.deleteItem("1", A, null).getStatusCode());
        assertRefused(404, () -> read(container, "1", A));
    }

    private static JsonNode read(CosmosContainer container, String id, PartitionKey key) {
        return container.readItem(id, key, JsonNode.class).getItem();
    }

    @ParameterizedTest
    @ValueSource(strings = {"a b", "50%", "été", "購物車", "a+b", "q&a=1", "'quoted'", "\"quoted\"", "a,b;c"})
    void idsOfAllKinds(String id) {
        CosmosContainer container = newContainer();
        container.createItem(document(id, id, 1));
        assertEquals(id, read(container, id, new PartitionKey(id)).get("id").asText());
        container.deleteItem(id, new PartitionKey(id), null);
    }

    @Test
    void partitionKeysOfAllKinds() {
        CosmosContainer container = newContainer();
        for (Object each : new Object[] {"", "x".repeat(200), 0, -1.5, true, null}) {
            ObjectNode body = JSON.createObjectNode().put("id", "1");
            body.set("cartId", JSON.valueToTree(each));
            PartitionKey key = new PartitionKey(each);
            container.createItem(body, key, null);
            assertEquals(body.get("cartId"), read(container, "1", key).get("cartId"));
        }
    }

    @Test
    void aKeyOfThreeLevels() {
        CosmosContainer container = newContainer(properties -> properties.setPartitionKeyDefinition(
                new PartitionKeyDefinition()
                        .setKind(PartitionKind.MULTI_HASH)
                        .setVersion(PartitionKeyDefinitionVersion.V2)
                        .setPaths(List.of("/shop", "/day", "/cartId"))));
        for (int n = 0; n < 12; n++) {
            ObjectNode body = document(String.valueOf(n), "c" + n, n);
            container.createItem(body.put("shop", "s" + n % 2).put("day", "d" + n % 3));
        }
        PartitionKey full = new PartitionKeyBuilder().add("s1").add("d2").add("c5").build();
        assertEquals(5, read(container, "5", full).get("n").asInt());
        PartitionKey first = new PartitionKeyBuilder().add("s1").build();
        CosmosQueryRequestOptions options = new CosmosQueryRequestOptions().setPartitionKey(first);
        assertEquals(List.of(1, 3, 5, 7, 9, 11), numbers(container.queryItems("SELECT * FROM c", options, JsonNode.class)));
    }

    @Test
    void anETagGuardsAWrite() {
        CosmosContainer container = newContainer();
        String etag = container.createItem(document("1", "a", 0)).getETag();
        CosmosItemRequestOptions guarded = new CosmosItemRequestOptions().setIfMatchETag(etag);
        container.replaceItem(document("1", "a", 1), "1", A, guarded);
        assertRefused(412, () -> container.replaceItem(document("1", "a", 2), "1", A, guarded));
        assertEquals(1, read(container, "1", A).get("n").asInt());
    }

    @Test
    void manyDocumentsAreReadAtOnce() {
        CosmosContainer container = newContainer();
        fill(container, 30);
        split(container, "0");
        List<CosmosItemIdentity> wanted = new ArrayList<>();
        for (int n : upTo(30)) {
            wanted.add(new CosmosItemIdentity(new PartitionKey("cart " + n / 3), String.valueOf(n)));
        }
        wanted.add(new CosmosItemIdentity(A, "none"));
        assertEquals(upTo(30), numbers(container.readMany(wanted, JsonNode.class).getResults()));
    }

    @Test
    void aBatchIsDoneWholeOrNotAtAll() {
        CosmosContainer container = newContainer();
        CosmosBatch batch = CosmosBatch.createCosmosBatch(A);
        batch.createItemOperation(document("1", "a", 1));
        batch.upsertItemOperation(document("2", "a", 2));
        batch.patchItemOperation("1", CosmosPatchOperations.create().increment("/n", 2));
        batch.readItemOperation("1");
        batch.replaceItemOperation("2", document("2", "a", 3));
        batch.deleteItemOperation("2");
        CosmosBatchResponse done = container.executeCosmosBatch(batch);
        assertTrue(done.isSuccessStatusCode());
        assertEquals(List.of(201, 201, 200, 200, 200, 204), statuses(done));
        assertEquals(3, done.getResults().get(3).getItem(JsonNode.class).get("n").asInt());

        CosmosBatch failing = CosmosBatch.createCosmosBatch(A);
        failing.createItemOperation(document("2", "a", 2));
        failing.createItemOperation(document("1", "a", 1));
        CosmosBatchResponse failed = container.executeCosmosBatch(failing);
        assertFalse(failed.isSuccessStatusCode());
        assertEquals(List.of(424, 409), statuses(failed));
        assertRefused(404, () -> read(container, "2", A));
    }

    private static List<Integer> statuses(CosmosBatchResponse response) {
        return response.getResults().stream().map(CosmosBatchOperationResult::getStatusCode).toList();
    }

    @Test
    void bulkAnswersEachOperationForItself() {
        CosmosContainer container = newContainer();
        assertEquals(Set.of(201), bulk(container, creates(250)));
        List<CosmosItemOperation> mixed = List.of(
                CosmosBulkOperations.getCreateItemOperation(document("0", "cart 0", 0), new PartitionKey("cart 0")),
                CosmosBulkOperations.getReadItemOperation("1", new PartitionKey("cart 1")),
                CosmosBulkOperations.getDeleteItemOperation("none", new PartitionKey("cart 2")));
        assertEquals(Set.of(200, 404, 409), bulk(container, mixed));
    }

    @Test
    void bulkGoesOnWhenRangesHaveSplit() {
        CosmosContainer container = newContainer();
        fill(container, 3);
        for (String each : List.of("0", "1", "2", "3")) {
            split(container, each);
        }
        assertEquals(Set.of(201), bulk(container, creates(50).subList(3, 50)));
    }

    @Test
    void bulkGoesOnWhileRangesSplitAndMerge() {
        CosmosContainer container = newContainer();
        Flux<CosmosItemOperation> operations = Flux.fromIterable(creates(500)).doOnNext(operation -> {
            switch (((ObjectNode) operation.getItem()).get("n").asInt()) {
                case 150 -> split(container, "0");
                case 300 -> merge(container, split(container, "1"));
                default -> {}
            }
        });
        List<Integer> statuses = ASYNC.getDatabase(DATABASE.getId())
                .getContainer(container.getId())
                .executeBulkOperations(operations)
                .map(each -> each.getResponse().getStatusCode())
                .collectList()
                .block();
        assertEquals(Collections.nCopies(500, 201), statuses);
        assertEquals(upTo(500), numbers(container.queryItems("SELECT * FROM c", null, JsonNode.class)));
    }

    private static List<CosmosItemOperation> creates(int count) {
        List<CosmosItemOperation> operations = new ArrayList<>();
        for (int n : upTo(count)) {
            ObjectNode body = document(String.valueOf(n), "cart " + n, n);
            operations.add(CosmosBulkOperations.getCreateItemOperation(body, new PartitionKey("cart " + n)));
        }
        return operations;
    }

    private static Set<Integer> bulk(CosmosContainer container, List<CosmosItemOperation> operations) {
        Set<Integer> statuses = new TreeSet<>();
        int answered = 0;
        for (CosmosBulkOperationResponse<Object> each : container.executeBulkOperations(operations)) {
            statuses.add(each.getResponse().getStatusCode());
            answered++;
        }
        assertEquals(operations.size(), answered);
        return statuses;
    }

    @Test
    void aPatchSetsAddsIncrementsReplacesMovesAndRemoves() {
        CosmosContainer container = newContainer();
        ObjectNode body = document("1", "a", 1).put("old", 1).put("from", 7);
        body.putArray("tags").add("x");
        container.createItem(body);
        CosmosPatchOperations operations = CosmosPatchOperations.create()
                .set("/name", "Mug")
                .add("/tags/-", "y")
                .increment("/n", 4)
                .replace("/tags/0", "z")
                .move("/from", "/to")
                .remove("/old");
        ObjectNode patched = container.patchItem("1", A, operations, ObjectNode.class).getItem();
        patched.remove(List.of("_rid", "_self", "_etag", "_attachments", "_ts"));
        ObjectNode expected = document("1", "a", 5).put("name", "Mug").put("to", 7);
        expected.putArray("tags").add("z").add("y");
        assertEquals(expected, patched);

        CosmosPatchItemRequestOptions condition = new CosmosPatchItemRequestOptions();
        condition.setFilterPredicate("FROM c WHERE c.n = 1");
        CosmosPatchOperations reset = CosmosPatchOperations.create().set("/n", 0);
        assertRefused(412, () -> container.patchItem("1", A, reset, condition, ObjectNode.class));
    }

    @Test
    void documentsExpire() {
        CosmosContainer container = newContainer(properties -> properties.setDefaultTimeToLiveInSeconds(100));
        container.createItem(document("short", "a", 0).put("ttl", 10));
        container.createItem(document("usual", "a", 1));
        container.createItem(document("forever", "a", 2).put("ttl", -1));
        try {
            shiftClock(11);
            assertEquals(List.of(1, 2), numbers(container.readAllItems(A, JsonNode.class)));
            shiftClock(101);
            assertEquals(List.of(2), numbers(container.readAllItems(A, JsonNode.class)));
        } finally {
            shiftClock(0);
        }
    }

    @Test
    void allDocumentsOfAKeyAreDeleted() {
        CosmosContainer container = newContainer();
        fill(container, 6);
        container.deleteAllItemsByPartitionKey(new PartitionKey("cart 1"), new CosmosItemRequestOptions());
        assertEquals(upTo(3), numbers(container.queryItems("SELECT * FROM c", null, JsonNode.class)));
    }

    @Test
    void aThrottledRequestIsTriedAgain() {
        CosmosContainer container = newContainer();
        ObjectNode fault = JSON.createObjectNode().put("path_prefix", "/" + path(container)).put("method", "POST");
        control("faults", fault.put("status", 429).put("substatus", 3200).put("retry_after_ms", 1).put("times", 3));
        CosmosItemResponse<ObjectNode> created = container.createItem(document("1", "a", 1));
        assertEquals(201, created.getStatusCode());
    }
}
