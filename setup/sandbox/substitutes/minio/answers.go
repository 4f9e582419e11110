package main

import (
	"bytes"
	"encoding/xml"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3api/utils"
)

// server is what the Server header says. It does not claim to be MinIO.
const server = "versitygw/1.8.0 (substitute for MinIO)"

var xmlHeader = []byte(`<?xml version="1.0" encoding="UTF-8"?>` + "\n")

// apiError has MinIO's element order (cmd/api-response.go of the release).
type apiError struct {
	XMLName    xml.Name `xml:"Error"`
	Code       string
	Message    string
	Key        string `xml:",omitempty"`
	BucketName string `xml:",omitempty"`
	Resource   string
	RequestID  string `xml:"RequestId"`
	HostID     string `xml:"HostId"`
}

// messages are MinIO's where versitygw's differ: people and troubleshooting tables search for them.
var messages = map[string]string{
	"BucketNotEmpty":     "The bucket you tried to delete is not empty",
	"InvalidAccessKeyId": "The Access Key Id you provided does not exist in our records.",
	"InvalidRange":       "The requested range is not satisfiable",
	"NoSuchBucket":       "The specified bucket does not exist",
	"NoSuchBucketPolicy": "The bucket policy does not exist",
	"NoSuchTagSet":       "The TagSet does not exist",
	"NotImplemented":     "A header you provided implies functionality that is not implemented",
}

// younger headers than this MinIO has. The checksums stay: a client that sent one must see it to finish a large upload.
var younger = map[string]bool{
	"x-amz-access-point-alias": true, "x-amz-bucket-arn": true, "x-amz-bucket-region": true, "x-amz-id-2": true,
	"x-amz-object-size": true, "x-amz-storage-class": true,
}

func dropYounger(header *fasthttp.ResponseHeader) {
	header.DisableNormalizing() // as versitygw does: names come in both spellings
	var found []string
	for key := range header.All() {
		if younger[strings.ToLower(string(key))] {
			found = append(found, string(key))
		}
	}
	for _, key := range found {
		header.Del(key)
	}
}

// middleware stands before versitygw.
type middleware struct{ admin admin }

// answerLikeMinio answers what lies outside S3 itself and gives every other answer MinIO's headers and error form.
func (m middleware) answerLikeMinio(ctx fiber.Ctx) error {
	path, err := url.PathUnescape(string(ctx.Request().URI().PathOriginal()))
	if err != nil {
		path = ctx.Path()
	}
	request := request{Ctx: ctx, admin: m.admin, path: path}
	request.bucket, request.key, _ = strings.Cut(strings.TrimPrefix(path, "/"), "/")

	if !request.answerItself() {
		if err := ctx.Next(); err != nil {
			return err
		}
		if ctx.Response().StatusCode() >= 400 {
			request.reshapeError()
		}
	}
	header := &ctx.Response().Header
	dropYounger(header)
	header.Set("Server", server)
	header.Set("Accept-Ranges", "bytes")
	header.Set("Vary", "Origin")
	header.Set("Content-Security-Policy", "block-all-mixed-content")
	header.Set("X-Xss-Protection", "1; mode=block")
	return nil
}

type request struct {
	fiber.Ctx
	admin             admin
	path, bucket, key string
}

func (r request) anonymous() bool {
	query := r.Request().URI().QueryArgs()
	return r.Get("Authorization") == "" && !query.Has("X-Amz-Algorithm") && !query.Has("AWSAccessKeyId")
}

// mayKnow tells whether the caller may know that there is no such bucket.
func (r request) mayKnow() bool {
	caller, known := utils.ContextKeyAccount.Get(r.Ctx).(auth.Account)
	return known && (caller.Role == auth.RoleAdmin || r.admin.users.mayList(caller.Access, r.bucket))
}

// browser tells as MinIO does: by the agent's name alone.
func (r request) browser() bool {
	return strings.Contains(r.Get("User-Agent"), "Mozilla") && r.anonymous() && os.Getenv("MINIO_BROWSER") != "off"
}

// answerItself answers the paths that MinIO keeps for itself and what its S3 does not know. It says whether it did.
func (r request) answerItself() bool {
	reading := r.Method() == fiber.MethodGet || r.Method() == fiber.MethodHead
	switch {
	case healthy[r.path]:
		if !reading {
			r.fail(http.StatusBadRequest, "BadRequest", "400 BadRequest")
		} else {
			r.Status(http.StatusOK)
		}
	case r.bucket == reserved && r.browser() && r.Method() == fiber.MethodGet:
		r.Set("Cache-Control", "no-store")
		r.Type("html", "utf-8")
		_ = r.SendString(page)
	case strings.HasPrefix(r.path, adminPath):
		r.admin.answer(r)
	case r.bucket == reserved || r.bucket == metaFolder:
		r.fail(http.StatusForbidden, "AllAccessDisabled", "All access to this bucket has been disabled.")
	case r.Method() == fiber.MethodPatch:
		// versitygw's own admin calls; MinIO has none there.
		r.fail(http.StatusMethodNotAllowed, "MethodNotAllowed", "The specified method is not allowed against this resource.")
	case strings.HasSuffix(r.Get("X-Amz-Content-Sha256"), "-TRAILER"):
		// Checksum trailers are younger than this MinIO: it takes the word for a wrong checksum (pkg/hash/reader.go).
		r.fail(http.StatusBadRequest, "XAmzContentSHA256Mismatch",
			"The provided 'x-amz-content-sha256' header does not match what was computed.")
	case r.Method() == fiber.MethodPost && r.Request().URI().QueryArgs().Has("delete") && r.Get("Content-Md5") == "":
		r.fail(http.StatusBadRequest, "MissingContentMD5", "Missing required header for this request: Content-Md5.")
	default:
		return false
	}
	return true
}

var healthy = map[string]bool{
	"/minio/health/live": true, "/minio/health/ready": true, "/minio/health/cluster": true, "/minio/health/cluster/read": true,
}

const page = `<!DOCTYPE html><html><head><meta charset="utf-8"><title>` + substitute + `</title></head>
<body><h1>No MinIO Browser here</h1><p>This is ` + substitute + `. It has no web pages: use an S3 client on this address.</p></body></html>
`

// reshapeError rewrites versitygw's error as MinIO would have written it. A browser that is denied goes to the web pages.
func (r request) reshapeError() {
	var e apiError
	status := r.Response().StatusCode()
	if err := xml.Unmarshal(r.Response().Body(), &e); err != nil {
		return
	}
	if e.Code == "NoSuchBucket" && !r.mayKnow() {
		// MinIO does not tell which buckets there are to whom has no right to this one.
		status, e.Code = http.StatusForbidden, "AccessDenied"
	}
	if e.Code == "VersioningNotConfigured" {
		status, e.Code = http.StatusNotImplemented, "NotImplemented"
	}
	if e.Code == "AccessDenied" && r.browser() {
		r.Response().ResetBody()
		r.Set("Location", "/"+reserved+r.path)
		r.Type("html", "utf-8")
		r.Status(http.StatusTemporaryRedirect)
		return
	}
	if text, ok := messages[e.Code]; ok {
		e.Message = text
	} else if e.Code == "AccessDenied" && strings.HasPrefix(e.Message, "Request has expired") {
		e.Message = "Request has expired"
	} else if e.Code == "AccessDenied" {
		e.Message = "Access Denied."
	}
	r.send(status, e)
}

func (r request) fail(status int, code, message string) {
	// MinIO has no request's id in these either.
	r.send(status, apiError{Code: code, Message: message, HostID: string(r.Response().Header.Peek("X-Amz-Id-2"))})
}

func (r request) send(status int, e apiError) {
	r.Status(status)
	if r.Method() == fiber.MethodHead {
		r.Response().ResetBody()
		r.Response().Header.Del("Content-Type")
		return
	}
	e.XMLName, e.Key, e.BucketName, e.Resource = xml.Name{Local: "Error"}, r.key, r.bucket, r.path
	body := bytes.NewBuffer(append([]byte{}, xmlHeader...))
	_ = xml.NewEncoder(body).Encode(e)
	r.Set("Content-Type", "application/xml")
	_ = r.Send(body.Bytes())
}
