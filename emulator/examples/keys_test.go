// Tests of a client with an emulated Atlas: `go test keys_test.go`. `atlas-model-keys` must be in the PATH.
package keys

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"reflect"
	"strings"
	"testing"
)

// Atlas has the base URL, the id of the first project, and a credential.
type Atlas struct{ BaseURL, ProjectID, AccessToken string }

// Seen is what an emulator recorded of a request.
type Seen struct {
	Path, Query, Credential string
	Status                  int
}

// start starts an emulator for one test.
func start(t *testing.T) (atlas Atlas) {
	emulator := exec.Command("atlas-model-keys", "emulate", "--print", "json", "--control", "--for", "10m")
	stdout, err := emulator.StdoutPipe()
	must(t, err)
	must(t, emulator.Start())
	t.Cleanup(func() { emulator.Process.Kill(); emulator.Wait() })
	must(t, json.NewDecoder(stdout).Decode(&atlas))
	return atlas
}

// control sends a request to the control interface, and decodes the response.
func (atlas Atlas) control(t *testing.T, method, path, body string, response any) {
	request, err := http.NewRequest(method, atlas.BaseURL+"/_emulator/"+path, strings.NewReader(body))
	must(t, err)
	must(t, send(request, response))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal(t *testing.T, got, wanted any) {
	t.Helper()
	if !reflect.DeepEqual(got, wanted) {
		t.Errorf("got %v, wanted %v", got, wanted)
	}
}

func TestKeysOfAllPagesAreListed(t *testing.T) {
	atlas := start(t)
	keys, err := listKeys(atlas)
	must(t, err)
	equal(t, len(keys), 42)
	var log struct{ Requests []Seen }
	atlas.control(t, "GET", "requests", "", &log)
	equal(t, len(log.Requests), 3)
	for i, query := range []string{"itemsPerPage=20", "itemsPerPage=20&pageNum=2", "itemsPerPage=20&pageNum=3"} {
		equal(t, log.Requests[i].Query, query)
		equal(t, log.Requests[i].Credential, "accessToken")
	}
}

func TestRequestThatFailsOnceIsRepeated(t *testing.T) {
	atlas := start(t)
	var faults []string
	atlas.control(t, "PUT", "faults", `["error-json=503*1"]`, &faults)
	keys, err := listKeys(atlas)
	must(t, err)
	equal(t, len(keys), 42)
	var log struct{ Requests []Seen }
	atlas.control(t, "GET", "requests?route=listGroupKeys", "", &log)
	equal(t, len(log.Requests), 4)
	for i, status := range []int{503, 200, 200, 200} {
		equal(t, log.Requests[i].Status, status)
	}
}

// The client that is tested; yours is in a file of its own.

type key struct{ APIKeyID string }

type page struct {
	Results []key
	Links   []struct{ Rel, Href string }
}

type statusError int

func (status statusError) Error() string { return fmt.Sprintf("status %d", int(status)) }

func listKeys(atlas Atlas) (keys []key, err error) {
	url := atlas.BaseURL + "/api/atlas/v2/groups/" + atlas.ProjectID + "/aiModelApiKeys?itemsPerPage=20"
	for url != "" {
		var page page
		for attempt := 1; attempt <= 3; attempt++ {
			request, err := http.NewRequest("GET", url, nil)
			if err != nil {
				return nil, err
			}
			request.Header.Set("Accept", "application/vnd.atlas.2025-03-12+json")
			request.Header.Set("Authorization", "Bearer "+atlas.AccessToken)
			if err = send(request, &page); err == nil {
				break
			}
			if err != statusError(503) || attempt == 3 {
				return nil, err
			}
		}
		keys = append(keys, page.Results...)
		url = ""
		for _, link := range page.Links {
			if link.Rel == "next" {
				url = link.Href
			}
		}
	}
	return keys, nil
}

// send sends a request, and decodes the response.
func send(request *http.Request, body any) error {
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != 200 {
		return statusError(response.StatusCode)
	}
	return json.NewDecoder(response.Body).Decode(body)
}
