// An emulated Atlas for a test with Go: `go test keys_test.go`. `atlas-model-keys` must be in the PATH.
package keys

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"testing"
)

func TestAllKeysOfTheProjectAreListed(t *testing.T) {
	emulator := exec.Command("atlas-model-keys", "emulate", "--print", "json", "--for", "10m")
	stdout, err := emulator.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := emulator.Start(); err != nil {
		t.Fatal(err)
	}
	defer emulator.Wait()
	defer emulator.Process.Kill()
	var atlas struct{ BaseURL, ProjectID, AccessToken string }
	if err := json.NewDecoder(stdout).Decode(&atlas); err != nil {
		t.Fatal(err)
	}

	url := atlas.BaseURL + "/api/atlas/v2/groups/" + atlas.ProjectID + "/aiModelApiKeys"
	request, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "application/vnd.atlas.2025-03-12+json")
	request.Header.Set("Authorization", "Bearer "+atlas.AccessToken)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var page struct{ Results []struct{ Name string } }
	if err := json.NewDecoder(response.Body).Decode(&page); err != nil {
		t.Fatal(err)
	}
	if len(page.Results) != 42 {
		t.Errorf("%d keys, %s", len(page.Results), response.Status)
	}
}
