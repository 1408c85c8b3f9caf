package clients;

import static clients.Emulator.fill;
import static clients.Emulator.newContainer;
import static clients.Emulator.numbers;
import static clients.Emulator.split;
import static clients.Emulator.upTo;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.azure.cosmos.CosmosContainer;
import com.azure.cosmos.models.CosmosQueryRequestOptions;
import com.azure.cosmos.models.FeedResponse;
import com.azure.cosmos.models.PartitionKey;
import com.azure.cosmos.models.SqlParameter;
import com.azure.cosmos.models.SqlQuerySpec;
import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Queries by the SDK as it is published: it asks for a plan and runs each part of it itself. */
class QueriesTest {
    private static CosmosContainer carts;

    @BeforeAll
    static void fillCarts() {
        carts = newContainer();
        fill(carts, 30);
    }

    @Test
    void smallPagesMeetEveryDocumentOnce() {
        List<JsonNode> found = new ArrayList<>();
        for (FeedResponse<JsonNode> page : carts.queryItems("SELECT * FROM c", options(), JsonNode.class).iterableByPage(4)) {
            assertTrue(page.getResults().size() <= 4);
            found.addAll(page.getResults());
        }
        assertEquals(upTo(30), numbers(found));
    }

    private static CosmosQueryRequestOptions options() {
        return new CosmosQueryRequestOptions().setQueryMetricsEnabled(true);
    }

    @Test
    void parametersInOnePartition() {
        SqlQuerySpec query = new SqlQuerySpec("SELECT * FROM c WHERE c.n >= @least", new SqlParameter("@least", 4));
        CosmosQueryRequestOptions options = options().setPartitionKey(new PartitionKey("cart 1"));
        assertEquals(List.of(4, 5), numbers(carts.queryItems(query, options, JsonNode.class)));
    }

    @ParameterizedTest
    @CsvSource({
        "SELECT * FROM c",
        "SELECT * FROM c ORDER BY c.n DESC",
        "SELECT * FROM c ORDER BY c.cartId DESC",
        "SELECT * FROM c ORDER BY c.none",
        "SELECT * FROM c ORDER BY c.none DESC"
    })
    void aQueryGoesOnByItsContinuation(String query) {
        List<JsonNode> found = new ArrayList<>();
        String token = null;
        do {
            Iterator<FeedResponse<JsonNode>> pages =
                    carts.queryItems(query, options(), JsonNode.class).iterableByPage(token, 7).iterator();
            FeedResponse<JsonNode> page = pages.next();
            found.addAll(page.getResults());
            token = page.getContinuationToken();
        } while (token != null);
        assertEquals(upTo(30), numbers(found));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            SELECT VALUE c.n FROM c WHERE c.n > 26 ORDER BY c.n DESC           | [29,28,27]
            SELECT VALUE c.n FROM c ORDER BY c.n OFFSET 10 LIMIT 5             | [10,11,12,13,14]
            SELECT TOP 3 VALUE c.n FROM c ORDER BY c.n                         | [0,1,2]
            SELECT VALUE COUNT(1) FROM c                                       | [30]
            SELECT VALUE AVG(c.n) FROM c                                       | [14.5]
            SELECT VALUE SUM(c.n) FROM c WHERE c.n < 4                         | [6.0]
            SELECT VALUE MAX(c.n) FROM c WHERE c.n < 20                        | [19]
            SELECT VALUE MIN(c.n) FROM c WHERE c.n >= 20                       | [20]
            SELECT DISTINCT VALUE c.cartId FROM c WHERE c.n < 3                | ["cart 0"]
            SELECT c.cartId, COUNT(1) AS k FROM c WHERE c.n < 3 GROUP BY c.cartId | [{"cartId":"cart 0","k":3}]
            """)
    void queriesOverAllPartitions(String query, String expected) {
        List<JsonNode> found = new ArrayList<>();
        carts.queryItems(query, options(), JsonNode.class).iterableByPage(4).forEach(page -> found.addAll(page.getResults()));
        assertEquals(expected, found.toString().replace(", ", ","));
    }

    @Test
    void queriesGoOnWhenRangesSplitBetweenTwoPages() {
        CosmosContainer container = newContainer();
        fill(container, 30);
        Iterator<FeedResponse<JsonNode>> pages =
                container.queryItems("SELECT * FROM c", null, JsonNode.class).iterableByPage(2).iterator();
        List<JsonNode> found = new ArrayList<>(pages.next().getResults());
        for (String each : List.of("0", "1", "2", "3")) {
            split(container, each);
        }
        pages.forEachRemaining(page -> found.addAll(page.getResults()));
        assertEquals(upTo(30), numbers(found));
    }
}
