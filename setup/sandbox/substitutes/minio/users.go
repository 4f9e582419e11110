package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/iamapi/policy"
	"github.com/versity/versitygw/iamapi/types"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3response"
)

const enabled, disabled = "enabled", "disabled"

// canned policies that MinIO has from the start (pkg/iam/policy of the release); nobody may take them away for good.
var canned = map[string]string{
	"consoleAdmin": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["admin:*"]},{"Effect":"Allow","Action":["s3:*"],"Resource":["arn:aws:s3:::*"]}]}`,
	"diagnostics":  `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["admin:TopLocksInfo","admin:OBDInfo","admin:BandwidthMonitor","admin:Profiling","admin:ServerTrace","admin:ConsoleLog","admin:ServerInfo"],"Resource":["arn:aws:s3:::*"]}]}`,
	"readonly":     `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetBucketLocation","s3:GetObject"],"Resource":["arn:aws:s3:::*"]}]}`,
	"readwrite":    `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*"],"Resource":["arn:aws:s3:::*"]}]}`,
	"writeonly":    `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:PutObject"],"Resource":["arn:aws:s3:::*"]}]}`,
}

// person is a user as its file has it, where MinIO has it too: users/NAME/identity.json.
type person struct {
	Secret string `json:"secretKey"`
	Status string `json:"status"`
}

// users are all but the root user, whom versitygw keeps for itself, with their policies. They are versitygw's IAM.
type users struct {
	auth.IAMService
	root     string // the root user's name
	store    store
	unread   bool   // some are sealed by another root pair: MinIO then lists none, and answers who asks for all never
	folder   string // config/iam below the reserved folder
	lock     sync.RWMutex
	people   map[string]person
	policies map[string]string // name: document
	given    map[string]string // user: names of policies, with commas
}

func loadUsers(kept store, root string, readable bool) *users {
	u := &users{
		IAMService: auth.NewIAMServiceSingle(auth.Account{}), root: root,
		store: kept, folder: filepath.Join(kept.folder, "config", "iam"),
		people: map[string]person{}, policies: map[string]string{}, given: map[string]string{},
	}
	err := u.each("users/*/identity.json", func(name string, content []byte) error {
		var found person
		err := json.Unmarshal(content, &found)
		// Taken without complaint; only a server that starts anew looks at their lengths.
		if len(name) < 3 || len(found.Secret) < 8 {
			found.Status = disabled
		}
		u.people[name] = found
		return err
	})
	err = errors.Join(err, u.each("policies/*/policy.json", func(name string, content []byte) error {
		u.policies[name] = string(content)
		return nil
	}))
	err = errors.Join(err, u.each("policydb/users/*.json", func(name string, content []byte) error {
		var found struct{ Policy string }
		err := json.Unmarshal(content, &found)
		u.given[strings.TrimSuffix(name, ".json")] = found.Policy
		return err
	}))
	if u.unread = !readable || err != nil; !u.unread {
		for name, document := range canned {
			if _, changed := u.policies[name]; !changed {
				u.policies[name] = document
			}
		}
	}
	if readable && err != nil {
		fmt.Printf("Error: Unable to initialize IAM sub-system, some users may not be available %v (*fmt.wrapError)\n", err)
	}
	if readable {
		fmt.Println("IAM initialization complete")
	}
	return u
}

// each reads the files that the pattern finds and the root pair opens; a name is the part that its star stands for.
func (u *users) each(pattern string, take func(name string, content []byte) error) error {
	paths, err := filepath.Glob(filepath.Join(u.folder, pattern))
	for _, path := range paths {
		content, readErr := u.store.read(path)
		name := filepath.Base(path)
		if !strings.HasSuffix(pattern, "*.json") {
			name = filepath.Base(filepath.Dir(path))
		}
		if readErr == nil {
			readErr = take(name, content)
		}
		err = errors.Join(err, readErr)
	}
	return err
}

func (u *users) path(parts ...string) string {
	return filepath.Join(append([]string{u.folder}, parts...)...)
}

// write puts a file there whole, for its owner's eyes.
func write(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(path+".part", content, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}

// remove takes a file away, and its folder where that is empty then, as MinIO does.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_ = os.Remove(filepath.Dir(path))
	return nil
}

func (u *users) setPerson(name string, p person) error {
	content, _ := json.Marshal(p)
	err := u.store.save(u.path("users", name, "identity.json"), content)
	if err == nil {
		u.people[name] = p
	}
	return err
}

func (u *users) give(name, policies string) error {
	content, _ := json.Marshal(map[string]any{"version": 1, "policy": policies})
	err := u.store.save(u.path("policydb", "users", name+".json"), content)
	if err == nil {
		u.given[name] = policies
	}
	return err
}

func (u *users) GetUserAccount(access string) (auth.Account, error) {
	u.lock.RLock()
	defer u.lock.RUnlock()
	found, known := u.people[access]
	if !known || found.Status != enabled {
		return auth.Account{}, auth.ErrNoSuchUser // answered as InvalidAccessKeyId, for a disabled one as well
	}
	return auth.Account{Access: access, Secret: found.Secret, Role: auth.RoleUser}, nil
}

// BucketOwner is root for every bucket: who made one has no more right to it than its policies give.
func (u *users) BucketOwner() auth.Account {
	return auth.Account{Access: u.root, Role: auth.RoleAdmin}
}

// EvaluatePolicy has versitygw's own evaluation, with MinIO's policies of the user.
func (u *users) EvaluatePolicy(access, _ string, actions []auth.Action, resources []string, condition map[string][]string) (found auth.PolicyEvaluation, _ error) {
	documents := u.documents(access)
	for range resources {
		found.Decisions = append(found.Decisions, nil)
	}
	for i, resource := range resources {
		for _, action := range actions {
			about := policy.RequestContext{Action: string(action), Resource: resource, Condition: condition}
			decision := policy.EvaluateIdentityPolicies(documents, about)
			if action == auth.ListAllMyBucketsAction {
				decision = policy.DecisionAllow // the list has what one may see, see buckets below
			}
			switch decision { // versitygw's type has no name outside of it
			case policy.DecisionAllow:
				found.Decisions[i] = append(found.Decisions[i], 1)
			case policy.DecisionDeny:
				found.Decisions[i] = append(found.Decisions[i], 2)
			default:
				found.Decisions[i] = append(found.Decisions[i], 0)
			}
		}
	}
	return found, nil
}

// documents are the user's policies; one that was taken away meanwhile gives nothing.
func (u *users) documents(access string) (found []types.PolicyEntry) {
	u.lock.RLock()
	defer u.lock.RUnlock()
	for _, name := range strings.Split(u.given[access], ",") {
		if document, known := u.policies[name]; known {
			found = append(found, types.PolicyEntry{PolicyName: name, PolicyDocument: document})
		}
	}
	return found
}

func (u *users) mayList(access, bucket string) bool {
	about := policy.RequestContext{Action: string(auth.ListBucketAction), Resource: "arn:aws:s3:::" + bucket}
	return policy.EvaluateIdentityPolicies(u.documents(access), about) == policy.DecisionAllow
}

// buckets is the backend, whose list of buckets has only those that the caller may list.
type buckets struct {
	backend.Backend
	users *users
}

func (b buckets) ListBuckets(ctx context.Context, input s3response.ListBucketsInput) (s3response.ListAllMyBucketsResult, error) {
	found, err := b.Backend.ListBuckets(ctx, input)
	caller, known := ctx.Value(string(utils.ContextKeyAccount)).(auth.Account)
	if err != nil || known && caller.Role == auth.RoleAdmin {
		return found, err
	}
	all := found.Buckets.Bucket
	found.Buckets.Bucket = nil
	for _, bucket := range all {
		if b.users.mayList(caller.Access, bucket.Name) {
			found.Buckets.Bucket = append(found.Buckets.Bucket, bucket)
		}
	}
	return found, nil
}
