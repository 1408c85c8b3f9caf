// Package suite does what a program in Go does with a container, by the SDK as it is published.
package suite

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

var (
	key         = azcosmos.NewPartitionKeyString
	wholeFeed   = &azcosmos.FeedRange{MinInclusive: "", MaxExclusive: "FF"}
	withContent = &azcosmos.ItemOptions{EnableContentResponseOnWrite: true}
)

func TestDatabasesAndContainers(t *testing.T) {
	seconds := int32(60)
	container := newContainer(t, func(p *azcosmos.ContainerProperties) { p.DefaultTimeToLive = &seconds })
	read, err := container.Read(ctx, nil)
	fine(t, err)
	equal(t, *read.ContainerProperties.DefaultTimeToLive, seconds)
	equal(t, read.ContainerProperties.PartitionKeyDefinition.Paths, []string{"/cartId"})

	found := 0
	pager := database.NewQueryContainersPager("SELECT * FROM c", nil)
	for pager.More() {
		page, err := pager.NextPage(ctx)
		fine(t, err)
		for _, each := range page.Containers {
			if each.ID == container.ID() {
				found++
			}
		}
	}
	equal(t, found, 1)

	always := int32(-1)
	read.ContainerProperties.DefaultTimeToLive = &always
	replaced, err := container.Replace(ctx, *read.ContainerProperties, nil)
	fine(t, err)
	equal(t, *replaced.ContainerProperties.DefaultTimeToLive, always)
	_, err = container.Delete(ctx, nil)
	fine(t, err)
	_, err = container.Read(ctx, nil)
	refused(t, err, http.StatusNotFound)
}

func TestThroughput(t *testing.T) {
	throughput := azcosmos.NewAutoscaleThroughputProperties(4000)
	properties := azcosmos.ContainerProperties{
		ID:                     "autoscaled",
		PartitionKeyDefinition: azcosmos.PartitionKeyDefinition{Paths: []string{"/id"}},
	}
	options := &azcosmos.CreateContainerOptions{ThroughputProperties: &throughput}
	_, err := database.CreateContainer(ctx, properties, options)
	fine(t, err)
	container, err := database.NewContainer("autoscaled")
	fine(t, err)
	read, err := container.ReadThroughput(ctx, nil)
	fine(t, err)
	most, _ := read.ThroughputProperties.AutoscaleMaxThroughput()
	equal(t, most, int32(4000))
	_, err = container.ReplaceThroughput(ctx, azcosmos.NewAutoscaleThroughputProperties(5000), nil)
	fine(t, err)
}

func TestDocuments(t *testing.T) {
	container := newContainer(t, nil)
	mug := encoded(t, document{"id": "1", "cartId": "a", "name": "Mug"})
	created, err := container.CreateItem(ctx, key("a"), mug, nil)
	fine(t, err)
	equal(t, created.RawResponse.StatusCode, http.StatusCreated)
	equal(t, len(created.Value), 0)
	_, err = container.CreateItem(ctx, key("a"), mug, nil)
	refused(t, err, http.StatusConflict)

	read, err := container.ReadItem(ctx, key("a"), "1", nil)
	fine(t, err)
	equal(t, decoded(t, read.Value)["name"], "Mug")
	cup := encoded(t, document{"id": "1", "cartId": "a", "name": "Cup"})
	replaced, err := container.ReplaceItem(ctx, key("a"), "1", cup, withContent)
	fine(t, err)
	equal(t, decoded(t, replaced.Value)["name"], "Cup")
	upserted, err := container.UpsertItem(ctx, key("a"), mug, withContent)
	fine(t, err)
	equal(t, decoded(t, upserted.Value)["name"], "Mug")
	_, err = container.DeleteItem(ctx, key("a"), "1", nil)
	fine(t, err)
	_, err = container.ReadItem(ctx, key("a"), "1", nil)
	refused(t, err, http.StatusNotFound)
}

func TestIdsOfAllKinds(t *testing.T) {
	container := newContainer(t, nil)
	for _, id := range []string{"a b", "50%", "été", "購物車", "a+b", "q&a=1", "'quoted'", `"quoted"`, "a,b;c"} {
		t.Run(id, func(t *testing.T) {
			create(t, container, id, id, 1)
			read, err := container.ReadItem(ctx, key(id), id, nil)
			fine(t, err)
			equal(t, decoded(t, read.Value)["id"], id)
			_, err = container.DeleteItem(ctx, key(id), id, nil)
			fine(t, err)
		})
	}
}

func TestPartitionKeysOfAllKinds(t *testing.T) {
	container := newContainer(t, nil)
	for _, each := range []struct {
		value any
		key   azcosmos.PartitionKey
	}{
		{"", key("")},
		{0.0, azcosmos.NewPartitionKeyNumber(0)},
		{-1.5, azcosmos.NewPartitionKeyNumber(-1.5)},
		{true, azcosmos.NewPartitionKeyBool(true)},
		{nil, azcosmos.NullPartitionKey},
	} {
		body := encoded(t, document{"id": "1", "cartId": each.value})
		_, err := container.CreateItem(ctx, each.key, body, nil)
		fine(t, err)
		read, err := container.ReadItem(ctx, each.key, "1", nil)
		fine(t, err)
		equal(t, decoded(t, read.Value)["cartId"], each.value)
	}
}

func TestAKeyOfThreeLevels(t *testing.T) {
	container := newContainer(t, func(p *azcosmos.ContainerProperties) {
		p.PartitionKeyDefinition = azcosmos.PartitionKeyDefinition{
			Kind: azcosmos.PartitionKeyKindMultiHash, Paths: []string{"/shop", "/day", "/cartId"}, Version: 2,
		}
	})
	for n := range 12 {
		shop, day, cart := fmt.Sprintf("s%d", n%2), fmt.Sprintf("d%d", n%3), fmt.Sprintf("c%d", n)
		body := encoded(t, document{"id": fmt.Sprint(n), "shop": shop, "day": day, "cartId": cart, "n": n})
		_, err := container.CreateItem(ctx, key(shop).AppendString(day).AppendString(cart), body, nil)
		fine(t, err)
	}
	full := key("s1").AppendString("d2").AppendString("c5")
	read, err := container.ReadItem(ctx, full, "5", nil)
	fine(t, err)
	equal(t, decoded(t, read.Value)["n"], 5.0)
	found := query(t, container, "SELECT * FROM c", full, nil)
	equal(t, numbers(t, found), []int{5})
}

func TestAnETagGuardsAWrite(t *testing.T) {
	container := newContainer(t, nil)
	body := encoded(t, document{"id": "1", "cartId": "a", "n": 0})
	created, err := container.CreateItem(ctx, key("a"), body, nil)
	fine(t, err)
	guarded := &azcosmos.ItemOptions{IfMatchEtag: &created.ETag}
	_, err = container.ReplaceItem(ctx, key("a"), "1", body, guarded)
	fine(t, err)
	_, err = container.ReplaceItem(ctx, key("a"), "1", body, guarded)
	refused(t, err, http.StatusPreconditionFailed)
	missing := azcore.ETag(`"none"`)
	_, err = container.DeleteItem(ctx, key("a"), "1", &azcosmos.ItemOptions{IfMatchEtag: &missing})
	refused(t, err, http.StatusPreconditionFailed)
}

// query reads all pages; each holds at most as many documents as the options say.
func query(
	t *testing.T, container *azcosmos.ContainerClient, text string,
	key azcosmos.PartitionKey, options *azcosmos.QueryOptions,
) (found [][]byte) {
	t.Helper()
	pager := container.NewQueryItemsPager(text, key, options)
	for pager.More() {
		page, err := pager.NextPage(ctx)
		fine(t, err)
		if options != nil && options.PageSizeHint > 0 && len(page.Items) > int(options.PageSizeHint) {
			t.Fatalf("a page of %d", len(page.Items))
		}
		found = append(found, page.Items...)
	}
	return found
}

func TestQueriesWithSmallPagesMeetEveryDocumentOnce(t *testing.T) {
	container := newContainer(t, nil)
	fill(t, container, 30)
	small := &azcosmos.QueryOptions{PageSizeHint: 4}
	found := query(t, container, "SELECT * FROM c", azcosmos.NewPartitionKey(), small)
	equal(t, numbers(t, found), upTo(30))
	filtered := query(t, container, "SELECT * FROM c WHERE c.n < 7", azcosmos.NewPartitionKey(), small)
	equal(t, numbers(t, filtered), upTo(7))
}

func TestQueriesWithParametersInOnePartition(t *testing.T) {
	container := newContainer(t, nil)
	fill(t, container, 9)
	options := &azcosmos.QueryOptions{
		QueryParameters: []azcosmos.QueryParameter{{Name: "@least", Value: 4}},
		PageSizeHint:    1, PopulateIndexMetrics: true,
	}
	found := query(t, container, "SELECT * FROM c WHERE c.n >= @least", key("cart 1"), options)
	equal(t, numbers(t, found), []int{4, 5})
	for text, expected := range map[string]string{
		"SELECT VALUE COUNT(1) FROM c":                          "3",
		"SELECT VALUE c.n FROM c ORDER BY c.n DESC":             "5",
		"SELECT VALUE c.n FROM c ORDER BY c.n OFFSET 1 LIMIT 1": "4",
	} {
		equal(t, string(query(t, container, text, key("cart 1"), nil)[0]), expected)
	}
}

func TestAQueryGoesOnByItsContinuation(t *testing.T) {
	container := newContainer(t, nil)
	fill(t, container, 12)
	var found [][]byte
	options := &azcosmos.QueryOptions{PageSizeHint: 5}
	for {
		page, err := container.NewQueryItemsPager("SELECT * FROM c", azcosmos.NewPartitionKey(), options).NextPage(ctx)
		fine(t, err)
		found = append(found, page.Items...)
		if options.ContinuationToken = page.ContinuationToken; options.ContinuationToken == nil {
			break
		}
	}
	equal(t, numbers(t, found), upTo(12))
}

func TestManyDocumentsAreReadAtOnce(t *testing.T) {
	container := newContainer(t, nil)
	fill(t, container, 30)
	split(t, container, "0")
	var wanted []azcosmos.ItemIdentity
	for n := range 30 {
		wanted = append(wanted, azcosmos.ItemIdentity{ID: fmt.Sprint(n), PartitionKey: key(fmt.Sprintf("cart %d", n/3))})
	}
	wanted = append(wanted, azcosmos.ItemIdentity{ID: "none", PartitionKey: key("cart 1")})
	read, err := container.ReadManyItems(ctx, wanted, nil)
	fine(t, err)
	equal(t, numbers(t, read.Items), upTo(30))
}

// changes reads what is there now, from the beginning or where a token says.
func changes(
	t *testing.T, container *azcosmos.ContainerClient, feed *azcosmos.FeedRange, token *string,
) (found [][]byte, next *string) {
	t.Helper()
	options := &azcosmos.ChangeFeedOptions{FeedRange: feed, MaxItemCount: 5, Continuation: token}
	for {
		page, err := container.ReadChangeFeed(ctx, options)
		fine(t, err)
		options.Continuation = &page.ContinuationToken
		if len(page.Items) == 0 {
			return found, options.Continuation
		}
		found = append(found, page.Items...)
	}
}

func TestTheChangeFeedGoesOnAcrossASplitAndAMerge(t *testing.T) {
	container := newContainer(t, nil)
	fill(t, container, 12)
	first, token := changes(t, container, wholeFeed, nil)
	equal(t, numbers(t, first), upTo(12))

	children := split(t, container, "0")
	for n := range 6 {
		create(t, container, fmt.Sprintf("s%d", n), fmt.Sprintf("split %d", n), 200+n)
	}
	second, token := changes(t, container, wholeFeed, token)
	equal(t, numbers(t, second), []int{200, 201, 202, 203, 204, 205})

	merge(t, container, children)
	for n := range 6 {
		create(t, container, fmt.Sprintf("m%d", n), fmt.Sprintf("merged %d", n), 300+n)
	}
	third, _ := changes(t, container, wholeFeed, token)
	// The SDK goes on with each child's position in the whole merged range: some come twice.
	found := slices.Compact(numbers(t, third))
	equal(t, found[len(found)-6:], []int{300, 301, 302, 303, 304, 305})
	all, _ := changes(t, container, wholeFeed, nil)
	equal(t, len(all), 24)
}

func TestTheChangeFeedOfEachRange(t *testing.T) {
	container := newContainer(t, nil)
	fill(t, container, 12)
	ranges, err := container.ReadFeedRanges(ctx, nil)
	fine(t, err)
	equal(t, len(ranges), 4)
	var found []int
	for _, each := range ranges {
		part, _ := changes(t, container, &each, nil)
		found = append(found, numbers(t, part)...)
	}
	slices.Sort(found)
	equal(t, found, upTo(12))
}

func TestABatchIsDoneWholeOrNotAtAll(t *testing.T) {
	container := newContainer(t, nil)
	one := encoded(t, document{"id": "1", "cartId": "a", "n": 1})
	two := encoded(t, document{"id": "2", "cartId": "a", "n": 2})
	var increment azcosmos.PatchOperations
	increment.AppendIncrement("/n", 2)
	batch := container.NewTransactionalBatch(key("a"))
	batch.CreateItem(one, nil)
	batch.UpsertItem(two, nil)
	batch.PatchItem("1", increment, nil)
	batch.ReadItem("1", nil)
	batch.ReplaceItem("2", two, nil)
	batch.DeleteItem("2", nil)
	done, err := container.ExecuteTransactionalBatch(ctx, batch, nil)
	fine(t, err)
	equal(t, done.Success, true)
	equal(t, statuses(done), []int32{201, 201, 200, 200, 200, 204})
	equal(t, decoded(t, done.OperationResults[3].ResourceBody)["n"], 3.0)

	failing := container.NewTransactionalBatch(key("a"))
	failing.CreateItem(two, nil)
	failing.CreateItem(one, nil)
	failed, err := container.ExecuteTransactionalBatch(ctx, failing, nil)
	fine(t, err)
	equal(t, failed.Success, false)
	equal(t, statuses(failed), []int32{424, 409})
	_, err = container.ReadItem(ctx, key("a"), "2", nil)
	refused(t, err, http.StatusNotFound)
}

func statuses(response azcosmos.TransactionalBatchResponse) (found []int32) {
	for _, each := range response.OperationResults {
		found = append(found, each.StatusCode)
	}
	return found
}

// The SDK has no bulk: concurrent requests take its place.
func TestManyWritesAtOnceWhileRangesSplit(t *testing.T) {
	container := newContainer(t, nil)
	for _, each := range []string{"0", "1", "2", "3"} {
		split(t, container, each)
	}
	results := make(chan error)
	for n := range 50 {
		cart := fmt.Sprintf("cart %d", n)
		body := encoded(t, document{"id": "1", "cartId": cart, "n": n})
		go func() {
			_, err := container.UpsertItem(ctx, key(cart), body, nil)
			results <- err
		}()
	}
	for range 50 {
		fine(t, <-results)
	}
	found := query(t, container, "SELECT * FROM c", azcosmos.NewPartitionKey(), nil)
	equal(t, numbers(t, found), upTo(50))
}

func TestAPatchSetsAddsIncrementsReplacesAndRemoves(t *testing.T) {
	container := newContainer(t, nil)
	body := encoded(t, document{"id": "1", "cartId": "a", "n": 1, "tags": []string{"x"}, "old": 1})
	_, err := container.CreateItem(ctx, key("a"), body, nil)
	fine(t, err)
	var patch azcosmos.PatchOperations
	patch.AppendSet("/name", "Mug")
	patch.AppendAdd("/tags/-", "y")
	patch.AppendIncrement("/n", 4)
	patch.AppendReplace("/tags/0", "z")
	patch.AppendRemove("/old")
	patched, err := container.PatchItem(ctx, key("a"), "1", patch, withContent)
	fine(t, err)
	found := decoded(t, patched.Value)
	for _, each := range []string{"_rid", "_self", "_etag", "_attachments", "_ts"} {
		delete(found, each)
	}
	rest, err := json.Marshal(found)
	fine(t, err)
	equal(t, string(rest), `{"cartId":"a","id":"1","n":5,"name":"Mug","tags":["z","y"]}`)

	patch = azcosmos.PatchOperations{}
	patch.AppendSet("/n", 0)
	patch.SetCondition("FROM c WHERE c.n = 1")
	_, err = container.PatchItem(ctx, key("a"), "1", patch, nil)
	refused(t, err, http.StatusPreconditionFailed)
}

func TestDocumentsExpire(t *testing.T) {
	seconds := int32(100)
	container := newContainer(t, func(p *azcosmos.ContainerProperties) { p.DefaultTimeToLive = &seconds })
	for id, ttl := range map[string]any{"short": 10, "usual": nil, "forever": -1} {
		body := document{"id": id, "cartId": "a"}
		if ttl != nil {
			body["ttl"] = ttl
		}
		_, err := container.CreateItem(ctx, key("a"), encoded(t, body), nil)
		fine(t, err)
	}
	ids := func() (found []string) {
		for _, each := range query(t, container, "SELECT * FROM c", key("a"), nil) {
			found = append(found, decoded(t, each)["id"].(string))
		}
		slices.Sort(found)
		return found
	}
	defer shiftClock(t, 0)
	shiftClock(t, 11)
	equal(t, ids(), []string{"forever", "usual"})
	shiftClock(t, 101)
	equal(t, ids(), []string{"forever"})
}

func TestAThrottledRequestIsTriedAgain(t *testing.T) {
	container := newContainer(t, nil)
	control(t, "faults", document{
		"path_prefix": fmt.Sprintf("/dbs/%s/colls/%s", database.ID(), container.ID()), "method": "POST",
		"status": 429, "substatus": 3200, "retry_after_ms": 1, "times": 2,
	})
	create(t, container, "1", "a", 1)
}
