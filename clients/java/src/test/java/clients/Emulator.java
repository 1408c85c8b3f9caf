package clients;

import com.azure.cosmos.ConsistencyLevel;
import com.azure.cosmos.CosmosAsyncClient;
import com.azure.cosmos.CosmosClient;
import com.azure.cosmos.CosmosClientBuilder;
import com.azure.cosmos.CosmosContainer;
import com.azure.cosmos.CosmosDatabase;
import com.azure.cosmos.CosmosException;
import com.azure.cosmos.models.CosmosContainerProperties;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.List;
import java.util.UUID;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.function.Executable;

/** The emulator that the suite was started against: clients, fresh containers, control requests. */
final class Emulator {
    static final ObjectMapper JSON = new ObjectMapper();

    private static final String ENDPOINT = System.getenv("COSMOS_ENDPOINT");

    static {
        trust(Path.of(System.getenv("COSMOS_CERTIFICATE")));
    }

    private static final HttpClient CONTROL = HttpClient.newHttpClient();
    static final CosmosClient CLIENT = builder().buildClient();
    static final CosmosAsyncClient ASYNC = builder().buildAsyncClient();
    static final CosmosDatabase DATABASE = database();

    private Emulator() {}

    /** Makes the emulator's certificate one that this process trusts, as one would for any client. */
    private static void trust(Path certificate) {
        try (InputStream pem = Files.newInputStream(certificate)) {
            KeyStore store = KeyStore.getInstance("PKCS12");
            store.load(null, null);
            store.setCertificateEntry("emulator", CertificateFactory.getInstance("X.509").generateCertificate(pem));
            Path file = Files.createTempFile("emulator", ".p12");
            file.toFile().deleteOnExit();
            try (OutputStream out = Files.newOutputStream(file)) {
                store.store(out, "emulator".toCharArray());
            }
            System.setProperty("javax.net.ssl.trustStore", file.toString());
            System.setProperty("javax.net.ssl.trustStorePassword", "emulator");
        } catch (Exception error) {
            throw new IllegalStateException("the emulator's certificate is unusable", error);
        }
    }

    private static CosmosClientBuilder builder() {
        return new CosmosClientBuilder()
                .endpoint(ENDPOINT)
                .key(System.getenv("COSMOS_KEY"))
                .consistencyLevel(ConsistencyLevel.SESSION)
                .contentResponseOnWriteEnabled(true)
                .gatewayMode();
    }

    private static CosmosDatabase database() {
        String name = "shop-" + ProcessHandle.current().pid();
        CLIENT.createDatabaseIfNotExists(name);
        return CLIENT.getDatabase(name);
    }

    static CosmosContainer newContainer() {
        return newContainer(properties -> {});
    }

    /** Gives each test a container of its own, with the four ranges that the emulator gives. */
    static CosmosContainer newContainer(Consumer<CosmosContainerProperties> change) {
        String name = "cart-" + UUID.randomUUID();
        CosmosContainerProperties properties = new CosmosContainerProperties(name, "/cartId");
        change.accept(properties);
        DATABASE.createContainer(properties);
        return DATABASE.getContainer(name);
    }

    static ObjectNode document(String id, String cartId, int n) {
        return JSON.createObjectNode().put("id", id).put("cartId", cartId).put("n", n);
    }

    /** Creates as many documents, three to a cart, with their number as `n`. */
    static void fill(CosmosContainer container, int count) {
        IntStream.range(0, count)
                .forEach(n -> container.createItem(document(String.valueOf(n), "cart " + n / 3, n)));
    }

    /** The `n` of documents, in order. */
    static List<Integer> numbers(Iterable<? extends JsonNode> documents) {
        return StreamSupport.stream(documents.spliterator(), false)
                .map(each -> each.get("n").asInt())
                .sorted()
                .toList();
    }

    static List<Integer> upTo(int count) {
        return IntStream.range(0, count).boxed().toList();
    }

    static void assertRefused(int status, Executable action) {
        CosmosException refusal = Assertions.assertThrows(CosmosException.class, action);
        Assertions.assertEquals(status, refusal.getStatusCode());
    }

    static List<String> split(CosmosContainer container, String parent) {
        JsonNode answer = control(path(container) + "/split", JSON.createObjectNode().put("range", parent));
        return StreamSupport.stream(answer.get("children").spliterator(), false)
                .map(JsonNode::asText)
                .toList();
    }

    static String merge(CosmosContainer container, List<String> parents) {
        ObjectNode body = JSON.createObjectNode();
        parents.forEach(body.putArray("ranges")::add);
        return control(path(container) + "/merge", body).get("child").asText();
    }

    static void shiftClock(int seconds) {
        control("clock", JSON.createObjectNode().put("offset_seconds", seconds));
    }

    static String path(CosmosContainer container) {
        return "dbs/" + DATABASE.getId() + "/colls/" + container.getId();
    }

    static JsonNode control(String path, JsonNode body) {
        URI address = URI.create(ENDPOINT + "_emulator/" + path);
        HttpRequest request = HttpRequest.newBuilder(address)
                .version(HttpClient.Version.HTTP_1_1)
                .POST(HttpRequest.BodyPublishers.ofString(body.toString()))
                .build();
        try {
            HttpResponse<String> answer = CONTROL.send(request, HttpResponse.BodyHandlers.ofString());
            Assertions.assertTrue(answer.statusCode() < 300, answer.body());
            return JSON.readTree(answer.body());
        } catch (Exception error) {
            throw new IllegalStateException(path, error);
        }
    }
}
