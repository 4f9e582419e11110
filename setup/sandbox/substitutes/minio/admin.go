package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"crypto/rand"

	"github.com/secure-io/sio-go"
	"github.com/versity/versitygw/iamapi/policy"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3err"
	"golang.org/x/crypto/argon2"
)

// admin answers MinIO's admin API (mc admin) as far as users and their policies go.
type admin struct {
	users        *users
	user, secret string // root's
	region       string
}

const adminPath = "/minio/admin/v3/"

// refusal is an answer of the admin API that is no success.
type refusal struct {
	status        int
	code, message string
}

func (r refusal) Error() string { return r.code }

var (
	denied          = refusal{http.StatusForbidden, "AccessDenied", "Access Denied."}
	noSuchUser      = refusal{http.StatusNotFound, "XMinioAdminNoSuchUser", "The specified user does not exist. (Specified user does not exist)"}
	noSuchPolicy    = refusal{http.StatusNotFound, "XMinioAdminNoSuchPolicy", "The canned policy does not exist. (Specified canned policy does not exist)"}
	sameAsRoot      = refusal{http.StatusForbidden, "XMinioInvalidIAMCredentials", "User is not allowed to be same as admin access key"}
	versionMismatch = refusal{http.StatusUpgradeRequired, "XMinioAdminVersionMismatch", "This 'admin' API is not supported by server in 'mode-server-fs'"}
	lacking         = refusal{http.StatusNotImplemented, "NotImplemented", "This is " + substitute + ": of the admin API it has users and policies only"}
)

// answer answers a request below adminPath.
func (a admin) answer(r request) {
	err := a.admit(r)
	if err == nil {
		err = a.do(r, r.Method()+" "+strings.TrimPrefix(r.path, adminPath))
	}
	if err == nil {
		return
	}
	var said refusal
	if !errors.As(err, &said) {
		said = refusal{http.StatusInternalServerError, "InternalError", err.Error()}
	}
	r.Status(said.status)
	_ = r.JSON(map[string]string{
		"Code": said.code, "Message": said.message, "Resource": r.path, "RequestId": "", "HostId": string(r.Response().Header.Peek("X-Amz-Id-2")),
	})
}

// admit lets the root user in, whose signature must be right; whoever else has a right one is denied.
func (a admin) admit(r request) error {
	if r.anonymous() {
		return denied
	}
	root := middlewares.RootUserConfig{Access: a.user, Secret: a.secret}
	err := middlewares.VerifyV4Signature(root, a.users, a.region, false, true, true)(r.Ctx)
	var said s3err.S3Error
	if errors.As(err, &said) {
		base := said.BaseError()
		message := base.Description
		if text, ok := messages[base.Code]; ok {
			message = text
		}
		return refusal{said.StatusCode(), base.Code, message}
	}
	if err == nil && !strings.Contains(r.Get("Authorization"), "Credential="+a.user+"/") {
		return denied
	}
	return err
}

// do has a case for each call; what it leaves unanswered is a 200 without a body.
func (a admin) do(r request, call string) error {
	// Copies: fiber's texts are good until the answer only.
	name, user := strings.Clone(r.Query("name")), strings.Clone(r.Query("accessKey"))
	if a.users.unread && (call == "GET list-users" || call == "GET list-canned-policies") {
		select {}
	}
	a.users.lock.Lock()
	defer a.users.lock.Unlock()
	switch call {
	case "GET list-canned-policies":
		documents := map[string]json.RawMessage{}
		for each, document := range a.users.policies {
			documents[each] = json.RawMessage(document)
		}
		return plain(r, documents)
	case "GET info-canned-policy":
		document, known := a.users.policies[name]
		if !known {
			return noSuchPolicy
		}
		return plain(r, json.RawMessage(document))
	case "PUT add-canned-policy":
		return a.addPolicy(name, r.BodyRaw())
	case "DELETE remove-canned-policy":
		delete(a.users.policies, name)
		return remove(a.users.path("policies", name, "policy.json"))
	case "PUT add-user":
		return a.addUser(user, r.BodyRaw())
	case "GET user-info", "PUT set-user-status", "DELETE remove-user":
		found, known := a.users.people[user]
		if !known {
			return noSuchUser
		}
		return a.ofUser(r, call, user, found)
	case "GET list-users":
		return a.listUsers(r)
	case "PUT set-user-or-group-policy":
		return a.givePolicy(strings.Clone(r.Query("userOrGroup")), r.Query("isGroup"), strings.Clone(r.Query("policyName")))
	case "POST idp/builtin/policy/attach", "POST idp/builtin/policy/detach":
		return versionMismatch
	}
	return lacking
}

func plain(r request, answer any) error {
	content, err := json.Marshal(answer)
	if err == nil {
		r.Set("Content-Type", "text/plain; charset=utf-8")
		err = r.Send(content)
	}
	return err
}

func (a admin) addPolicy(name string, document []byte) error {
	var form struct{ Statement []struct{ Effect string } }
	if json.Unmarshal(document, &form) == nil {
		for _, statement := range form.Statement {
			if statement.Effect != "Allow" && statement.Effect != "Deny" {
				return refusal{http.StatusBadRequest, "XMinioMalformedIAMPolicy", "invalid Effect " + statement.Effect}
			}
		}
	}
	if err := policy.Parse(string(document)); err != nil {
		return refusal{http.StatusBadRequest, "XMinioMalformedIAMPolicy", err.Error()}
	}
	var short bytes.Buffer
	_ = json.Compact(&short, document)
	err := a.users.store.save(a.users.path("policies", name, "policy.json"), short.Bytes())
	if err == nil {
		a.users.policies[name] = short.String()
	}
	return err
}

func (a admin) addUser(name string, body []byte) error {
	if name == a.user {
		return sameAsRoot
	}
	plain, err := opened(a.secret, body)
	found := person{Status: enabled}
	if err == nil {
		err = json.Unmarshal(plain, &found)
	}
	if err != nil {
		return refusal{http.StatusBadRequest, "XMinioAdminConfigBadJSON", "JSON configuration provided is of incorrect format"}
	}
	return a.users.setPerson(name, found)
}

func (a admin) ofUser(r request, call, name string, found person) error {
	switch call {
	case "PUT set-user-status":
		found.Status = strings.Clone(r.Query("status"))
		return a.users.setPerson(name, found)
	case "DELETE remove-user":
		delete(a.users.people, name)
		delete(a.users.given, name)
		return errors.Join(remove(a.users.path("policydb", "users", name+".json")), remove(a.users.path("users", name, "identity.json")))
	}
	return r.JSON(a.about(name, found))
}

func (a admin) about(name string, found person) map[string]string {
	about := map[string]string{"status": found.Status}
	if policies := a.users.given[name]; policies != "" {
		about["policyName"] = policies
	}
	return about
}

func (a admin) listUsers(r request) error {
	all := map[string]map[string]string{}
	for name, found := range a.users.people {
		all[name] = a.about(name, found)
	}
	content, _ := json.Marshal(all)
	sealed, err := sealed(a.secret, content)
	if err == nil {
		r.Set("Content-Type", "application/json")
		err = r.Send(sealed)
	}
	return err
}

func (a admin) givePolicy(name, isGroup, policies string) error {
	if isGroup == "true" {
		return lacking
	}
	if _, known := a.users.people[name]; !known {
		return noSuchUser
	}
	for _, each := range strings.Split(policies, ",") {
		if _, known := a.users.policies[each]; !known {
			return noSuchPolicy
		}
	}
	return a.users.give(name, policies)
}

// Bodies with secrets are sealed by the caller's secret key (pkg/madmin/encrypt.go of the release): 32 bytes of salt,
// the cipher's number, 8 bytes of nonce, and the text in fragments of 16 KiB.
const saltSize, nonceSize, aesGCM = 32, 8, 0

func stream(secret string, salt []byte) (*sio.Stream, error) {
	return sio.AES_256_GCM.Stream(argon2.IDKey([]byte(secret), salt, 1, 64*1024, 4, 32))
}

func sealed(secret string, text []byte) ([]byte, error) {
	head := make([]byte, saltSize+1+nonceSize)
	_, _ = rand.Read(head)
	head[saltSize] = aesGCM
	with, err := stream(secret, head[:saltSize])
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(with.EncryptReader(bytes.NewReader(text), head[saltSize+1:], nil))
	return append(head, body...), err
}

func opened(secret string, body []byte) ([]byte, error) {
	if len(body) < saltSize+1+nonceSize {
		return nil, io.ErrUnexpectedEOF
	}
	if body[saltSize] != aesGCM {
		return nil, fmt.Errorf("cipher %d", body[saltSize])
	}
	with, err := stream(secret, body[:saltSize])
	if err != nil {
		return nil, err
	}
	nonce, text := body[saltSize+1:saltSize+1+nonceSize], body[saltSize+1+nonceSize:]
	return io.ReadAll(with.DecryptReader(bytes.NewReader(text), nonce, nil))
}
