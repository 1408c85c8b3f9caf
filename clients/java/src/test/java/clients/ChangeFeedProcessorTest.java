package clients;

import static clients.Emulator.ASYNC;
import static clients.Emulator.DATABASE;
import static clients.Emulator.document;
import static clients.Emulator.merge;
import static clients.Emulator.newContainer;
import static clients.Emulator.split;
import static clients.Emulator.upTo;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.azure.cosmos.ChangeFeedProcessor;
import com.azure.cosmos.ChangeFeedProcessorBuilder;
import com.azure.cosmos.CosmosAsyncContainer;
import com.azure.cosmos.CosmosContainer;
import com.azure.cosmos.models.ChangeFeedProcessorItem;
import com.azure.cosmos.models.ChangeFeedProcessorOptions;
import com.azure.cosmos.models.ChangeFeedProcessorState;
import com.fasterxml.jackson.databind.JsonNode;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/** The SDK's change feed processor: four ranges, one of which splits, and whose children merge. */
class ChangeFeedProcessorTest {
    private static final Duration LONGEST = Duration.ofSeconds(90);

    private final CosmosContainer carts = newContainer();
    private final CosmosContainer leases =
            newContainer(properties -> properties.getPartitionKeyDefinition().setPaths(List.of("/id")));
    private final Map<String, Set<Integer>> seen = new ConcurrentHashMap<>();

    private ChangeFeedProcessorBuilder builder(String host) {
        ChangeFeedProcessorOptions options = new ChangeFeedProcessorOptions()
                .setStartFromBeginning(true)
                .setMaxItemCount(10)
                .setFeedPollDelay(Duration.ofMillis(50))
                .setLeaseAcquireInterval(Duration.ofMillis(300))
                .setLeaseRenewInterval(Duration.ofSeconds(5))
                .setLeaseExpirationInterval(Duration.ofSeconds(60));
        return new ChangeFeedProcessorBuilder()
                .hostName(host)
                .options(options)
                .feedContainer(reached(carts))
                .leaseContainer(reached(leases));
    }

    private static CosmosAsyncContainer reached(CosmosContainer container) {
        return ASYNC.getDatabase(DATABASE.getId()).getContainer(container.getId());
    }

    private void see(JsonNode document) {
        seen.computeIfAbsent(document.get("id").asText(), id -> ConcurrentHashMap.newKeySet())
                .add(document.get("n").asInt());
    }

    /** Writes a version of each of forty documents and waits until all are delivered. */
    private void writeAndAwait(int version) throws InterruptedException {
        for (int n : upTo(40)) {
            carts.upsertItem(document(String.valueOf(n), "cart " + n, version));
        }
        until(() -> seen.size() == 40 && seen.values().stream().allMatch(each -> each.contains(version)));
    }

    private static void until(BooleanSupplier condition) throws InterruptedException {
        Instant end = Instant.now().plus(LONGEST);
        while (!condition.getAsBoolean()) {
            assertTrue(Instant.now().isBefore(end), "not within " + LONGEST);
            Thread.sleep(20);
        }
    }

    private static Set<String> tokens(List<ChangeFeedProcessorState> leases) {
        return leases.stream().map(ChangeFeedProcessorState::getLeaseToken).collect(Collectors.toSet());
    }

    @Test
    void itDeliversEveryVersionAcrossASplitAndAMerge() throws Exception {
        ChangeFeedProcessor processor =
                builder("one").handleChanges(page -> page.forEach(this::see)).buildChangeFeedProcessor();
        processor.start().block(LONGEST);
        try {
            writeAndAwait(1);
            assertEquals(Set.of("0", "1", "2", "3"), tokens(processor.getCurrentState().block(LONGEST)));
            List<String> children = split(carts, "0");
            writeAndAwait(2);
            merge(carts, children);
            writeAndAwait(3);
            seen.values().forEach(versions -> assertEquals(Set.of(1, 2, 3), versions));
            until(() -> processor.getEstimatedLag().block(LONGEST).values().stream().allMatch(lag -> lag == 0));
        } finally {
            processor.stop().block(LONGEST);
        }
    }

    @Test
    void theLatestVersionsByRangesOfKeys() throws Exception {
        ChangeFeedProcessor processor = builder("two")
                .handleLatestVersionChanges(page -> page.forEach(item -> see(item.getCurrent())))
                .buildChangeFeedProcessor();
        processor.start().block(LONGEST);
        try {
            writeAndAwait(1);
            List<String> children = split(carts, "1");
            writeAndAwait(2);
            merge(carts, children);
            writeAndAwait(3);
        } finally {
            processor.stop().block(LONGEST);
        }
    }

    @Test
    void twoHostsShareTheRanges() throws Exception {
        ChangeFeedProcessor one = builder("one").handleChanges(page -> page.forEach(this::see)).buildChangeFeedProcessor();
        ChangeFeedProcessor two = builder("two").handleChanges(page -> page.forEach(this::see)).buildChangeFeedProcessor();
        one.start().block(LONGEST);
        try {
            writeAndAwait(1);
            two.start().block(LONGEST);
            until(() -> {
                List<ChangeFeedProcessorState> leases = one.getCurrentState().block(LONGEST);
                return leases.stream().filter(each -> "two".equals(each.getHostName())).count() == 2;
            });
            writeAndAwait(2);
        } finally {
            two.stop().block(LONGEST);
            one.stop().block(LONGEST);
        }
    }

    @Test
    void itGoesOnWhereItWasWhenItStartsAgainAfterASplit() throws Exception {
        AtomicInteger delivered = new AtomicInteger();
        for (int version : List.of(1, 2)) {
            ChangeFeedProcessor processor = builder("host " + version)
                    .handleChanges(page -> {
                        delivered.addAndGet(page.size());
                        page.forEach(this::see);
                    })
                    .buildChangeFeedProcessor();
            processor.start().block(LONGEST);
            writeAndAwait(version);
            until(() -> processor.getEstimatedLag().block(LONGEST).values().stream().allMatch(lag -> lag == 0));
            processor.stop().block(LONGEST);
            split(carts, String.valueOf(version));
        }
        assertEquals(80, delivered.get());
    }
}
