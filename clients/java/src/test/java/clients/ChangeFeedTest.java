package clients;

import static clients.Emulator.document;
import static clients.Emulator.fill;
import static clients.Emulator.merge;
import static clients.Emulator.newContainer;
import static clients.Emulator.numbers;
import static clients.Emulator.split;
import static clients.Emulator.upTo;
import static org.junit.jupiter.api.Assertions.assertEquals;

import com.azure.cosmos.CosmosContainer;
import com.azure.cosmos.models.CosmosChangeFeedRequestOptions;
import com.azure.cosmos.models.FeedRange;
import com.azure.cosmos.models.FeedResponse;
import com.azure.cosmos.models.PartitionKey;
import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** The change feed, pulled by the SDK as it is published. */
class ChangeFeedTest {
    private record Changes(List<JsonNode> documents, String continuation) {}

    /** Reads what is there now. */
    private static Changes changes(CosmosContainer container, CosmosChangeFeedRequestOptions from) {
        List<JsonNode> documents = new ArrayList<>();
        String continuation = null;
        for (FeedResponse<JsonNode> page : container.queryChangeFeed(from.setMaxItemCount(5), JsonNode.class).iterableByPage()) {
            documents.addAll(page.getResults());
            continuation = page.getContinuationToken();
        }
        return new Changes(documents, continuation);
    }

    private static CosmosChangeFeedRequestOptions beginning(FeedRange range) {
        return CosmosChangeFeedRequestOptions.createForProcessingFromBeginning(range);
    }

    private static CosmosChangeFeedRequestOptions after(Changes changes) {
        return CosmosChangeFeedRequestOptions.createForProcessingFromContinuation(changes.continuation());
    }

    @Test
    void itGoesOnAcrossASplitAndAMerge() {
        CosmosContainer container = newContainer();
        fill(container, 12);
        Changes first = changes(container, beginning(FeedRange.forFullRange()));
        assertEquals(upTo(12), numbers(first.documents()));

        List<String> children = split(container, "0");
        for (int n : upTo(6)) {
            container.createItem(document("s" + n, "split " + n, 200 + n));
        }
        Changes second = changes(container, after(first));
        assertEquals(List.of(200, 201, 202, 203, 204, 205), numbers(second.documents()));

        merge(container, children);
        for (int n : upTo(6)) {
            container.createItem(document("m" + n, "merged " + n, 300 + n));
        }
        Changes third = changes(container, after(second));
        assertEquals(List.of(300, 301, 302, 303, 304, 305), numbers(third.documents()));
        assertEquals(24, changes(container, beginning(FeedRange.forFullRange())).documents().size());
    }

    @Test
    void ofAKeyOfEachRangeAndFromNowOn() {
        CosmosContainer container = newContainer();
        fill(container, 12);
        FeedRange key = FeedRange.forLogicalPartition(new PartitionKey("cart 1"));
        assertEquals(List.of(3, 4, 5), numbers(changes(container, beginning(key)).documents()));

        List<JsonNode> found = new ArrayList<>();
        List<FeedRange> ranges = container.getFeedRanges();
        assertEquals(4, ranges.size());
        ranges.forEach(each -> found.addAll(changes(container, beginning(each)).documents()));
        assertEquals(upTo(12), numbers(found));

        Changes now = changes(
                container, CosmosChangeFeedRequestOptions.createForProcessingFromNow(FeedRange.forFullRange()));
        assertEquals(List.of(), now.documents());
        container.createItem(document("new", "a", 99));
        assertEquals(List.of(99), numbers(changes(container, after(now)).documents()));
    }
}
