package main

import (
	"net/http"
	"net/http/httputil"
)

// What a client calls, and what that is at the model.
var calls = map[string]string{
	"/seldon.protos.Seldon/Predict":       "/seldon.protos.Model/Predict",
	"/seldon.protos.Seldon/SendFeedback":  "/seldon.protos.Model/SendFeedback",
	"/seldon.protos.Seldon/ModelMetadata": "/seldon.protos.Model/Metadata",
}

// grpc is the API on port 5001: the messages are the model's own, so they pass unread.
func grpc(node *Node) http.Handler {
	var plain http.Protocols
	plain.SetUnencryptedHTTP2(true)
	proxy := &httputil.ReverseProxy{
		Transport:     &http.Transport{Protocols: &plain, DisableCompression: true},
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.URL.Path = "http", node.grpc(), calls[r.In.URL.Path]
		},
		ModifyResponse: func(r *http.Response) error {
			// An answer that is an error only has its status in the headers; behind a proxy it has to follow them.
			for _, name := range []string{"Grpc-Status", "Grpc-Message", "Grpc-Status-Details-Bin"} {
				if value := r.Header.Get(name); value != "" {
					if r.Trailer == nil {
						r.Trailer = http.Header{}
					}
					r.Trailer.Set(name, value)
					r.Header.Del(name)
				}
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) { refused(w, "14", err.Error()) },
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls[r.URL.Path] == "" {
			refused(w, "12", "unknown method "+r.URL.Path)
			return
		}
		proxy.ServeHTTP(w, r)
	})
}

// refused is an answer without a message: the status is all there is.
func refused(w http.ResponseWriter, status, message string) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Grpc-Status", status)
	w.Header().Set("Grpc-Message", message)
}
