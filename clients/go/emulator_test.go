package suite

// The emulator that the suite was started against: a client, fresh containers, control requests.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

var (
	ctx      = context.Background()
	database *azcosmos.DatabaseClient
	made     atomic.Int64
)

type document map[string]any

func TestMain(m *testing.M) {
	credential := must(azcosmos.NewKeyCredential(os.Getenv("COSMOS_KEY")))
	client := must(azcosmos.NewClientWithKey(os.Getenv("COSMOS_ENDPOINT"), credential, nil))
	name := fmt.Sprintf("shop-%d", os.Getpid())
	must(client.CreateDatabase(ctx, azcosmos.DatabaseProperties{ID: name}, nil))
	database = must(client.NewDatabase(name))
	os.Exit(m.Run())
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// newContainer gives each test one of its own, with the four ranges that the emulator gives.
func newContainer(t *testing.T, change func(*azcosmos.ContainerProperties)) *azcosmos.ContainerClient {
	t.Helper()
	properties := azcosmos.ContainerProperties{
		ID:                     fmt.Sprintf("cart-%d", made.Add(1)),
		PartitionKeyDefinition: azcosmos.PartitionKeyDefinition{Paths: []string{"/cartId"}, Version: 2},
	}
	if change != nil {
		change(&properties)
	}
	_, err := database.CreateContainer(ctx, properties, nil)
	fine(t, err)
	container, err := database.NewContainer(properties.ID)
	fine(t, err)
	return container
}

// fill creates `count` documents, three to a cart, with their number as `n`.
func fill(t *testing.T, container *azcosmos.ContainerClient, count int) {
	t.Helper()
	for n := range count {
		create(t, container, fmt.Sprint(n), fmt.Sprintf("cart %d", n/3), n)
	}
}

func create(t *testing.T, container *azcosmos.ContainerClient, id, cart string, n int) {
	t.Helper()
	body := encoded(t, document{"id": id, "cartId": cart, "n": n})
	_, err := container.CreateItem(ctx, azcosmos.NewPartitionKeyString(cart), body, nil)
	fine(t, err)
}

func encoded(t *testing.T, value any) []byte {
	t.Helper()
	body, err := json.Marshal(value)
	fine(t, err)
	return body
}

func decoded(t *testing.T, body []byte) document {
	t.Helper()
	var found document
	fine(t, json.Unmarshal(body, &found))
	return found
}

func fine(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal(t *testing.T, found, expected any) {
	t.Helper()
	if !reflect.DeepEqual(found, expected) {
		t.Fatalf("found %v, expected %v", found, expected)
	}
}

func refused(t *testing.T, err error, status int) {
	t.Helper()
	var refusal *azcore.ResponseError
	if !errors.As(err, &refusal) {
		t.Fatalf("not refused: %v", err)
	}
	equal(t, refusal.StatusCode, status)
}

// numbers are the `n` of documents, in order.
func numbers(t *testing.T, bodies [][]byte) []int {
	t.Helper()
	found := make([]int, 0, len(bodies))
	for _, each := range bodies {
		found = append(found, int(decoded(t, each)["n"].(float64)))
	}
	slices.Sort(found)
	return found
}

func upTo(count int) []int {
	all := make([]int, count)
	for n := range all {
		all[n] = n
	}
	return all
}

func split(t *testing.T, container *azcosmos.ContainerClient, parent string) (children []string) {
	t.Helper()
	answer := control(t, path(container, "split"), document{"range": parent})
	for _, each := range answer["children"].([]any) {
		children = append(children, each.(string))
	}
	return children
}

func merge(t *testing.T, container *azcosmos.ContainerClient, parents []string) {
	t.Helper()
	control(t, path(container, "merge"), document{"ranges": parents})
}

func shiftClock(t *testing.T, seconds int) {
	t.Helper()
	control(t, "clock", document{"offset_seconds": seconds})
}

func path(container *azcosmos.ContainerClient, action string) string {
	return fmt.Sprintf("dbs/%s/colls/%s/%s", database.ID(), container.ID(), action)
}

func control(t *testing.T, path string, body document) document {
	t.Helper()
	url := os.Getenv("COSMOS_ENDPOINT") + "_emulator/" + path
	answer, err := http.Post(url, "application/json", bytes.NewReader(encoded(t, body)))
	fine(t, err)
	defer answer.Body.Close()
	var found document
	fine(t, json.NewDecoder(answer.Body).Decode(&found))
	if answer.StatusCode >= 300 {
		t.Fatalf("%s: %d %v", path, answer.StatusCode, found["message"])
	}
	return found
}
