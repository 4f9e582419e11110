module knative-images

go 1.24

tool (
	knative.dev/serving/cmd/activator
	knative.dev/serving/cmd/autoscaler
	knative.dev/serving/cmd/controller
	knative.dev/serving/cmd/networking/istio
	knative.dev/serving/cmd/queue
	knative.dev/serving/cmd/webhook
)

require (
	cloud.google.com/go v0.45.1 // indirect
	contrib.go.opencensus.io/exporter/ocagent v0.0.0-00010101000000-000000000000 // indirect
	contrib.go.opencensus.io/exporter/prometheus v0.0.0-00010101000000-000000000000 // indirect
	contrib.go.opencensus.io/exporter/stackdriver v0.0.0-00010101000000-000000000000 // indirect
	contrib.go.opencensus.io/exporter/zipkin v0.0.0-00010101000000-000000000000 // indirect
	github.com/Azure/azure-sdk-for-go v32.5.0+incompatible // indirect
	github.com/Azure/go-autorest/autorest v0.9.0 // indirect
	github.com/Azure/go-autorest/autorest/adal v0.5.0 // indirect
	github.com/Azure/go-autorest/autorest/date v0.1.0 // indirect
	github.com/Azure/go-autorest/autorest/to v0.3.0 // indirect
	github.com/Azure/go-autorest/autorest/validation v0.2.0 // indirect
	github.com/Azure/go-autorest/logger v0.1.0 // indirect
	github.com/Azure/go-autorest/tracing v0.5.0 // indirect
	github.com/NYTimes/gziphandler v0.0.0-20170623195520-56545f4a5d46 // indirect
	github.com/PuerkitoBio/purell v1.1.1 // indirect
	github.com/PuerkitoBio/urlesc v0.0.0-20170810143723-de5bf2ad4578 // indirect
	github.com/aws/aws-sdk-go v1.24.1 // indirect
	github.com/beorn7/perks v0.0.0-20180321164747-3a771d992973 // indirect
	github.com/blang/semver v3.5.0+incompatible // indirect
	github.com/census-instrumentation/opencensus-proto v0.2.1 // indirect
	github.com/coreos/etcd v3.3.17+incompatible // indirect
	github.com/coreos/go-systemd v0.0.0-20180511133405-39ca1b05acc7 // indirect
	github.com/coreos/pkg v0.0.0-20180108230652-97fdf19511ea // indirect
	github.com/davecgh/go-spew v1.1.1 // indirect
	github.com/dgrijalva/jwt-go v3.2.0+incompatible // indirect
	github.com/docker/docker v0.7.3-0.20190327010347-be7ac8be2ae0 // indirect
	github.com/docker/go-connections v0.4.0 // indirect
	github.com/docker/go-units v0.3.3 // indirect
	github.com/emicklei/go-restful v2.9.5+incompatible // indirect
	github.com/emicklei/go-restful-swagger12 v0.0.0-20170208215640-dcef7f557305 // indirect
	github.com/evanphx/json-patch v4.5.0+incompatible // indirect
	github.com/ghodss/yaml v1.0.0 // indirect
	github.com/go-openapi/jsonpointer v0.19.2 // indirect
	github.com/go-openapi/jsonreference v0.19.2 // indirect
	github.com/go-openapi/spec v0.19.2 // indirect
	github.com/go-openapi/swag v0.19.2 // indirect
	github.com/gobuffalo/envy v1.6.5 // indirect
	github.com/gogo/protobuf v1.3.0 // indirect
	github.com/golang/glog v0.0.0-20160126235308-23def4e6c14b // indirect
	github.com/golang/groupcache v0.0.0-20190702054246-869f871628b6 // indirect
	github.com/golang/protobuf v1.3.2 // indirect
	github.com/google/go-cmp v0.3.1 // indirect
	github.com/google/go-containerregistry v0.0.0-00010101000000-000000000000 // indirect
	github.com/google/gofuzz v1.0.0 // indirect
	github.com/google/uuid v1.1.1 // indirect
	github.com/googleapis/gax-go/v2 v2.0.5 // indirect
	github.com/googleapis/gnostic v0.3.1 // indirect
	github.com/gorilla/websocket v1.4.0 // indirect
	github.com/grpc-ecosystem/go-grpc-prometheus v1.2.0 // indirect
	github.com/grpc-ecosystem/grpc-gateway v1.9.4 // indirect
	github.com/hashicorp/golang-lru v0.5.3 // indirect
	github.com/imdario/mergo v0.3.6 // indirect
	github.com/jetstack/cert-manager v0.12.0 // indirect
	github.com/jmespath/go-jmespath v0.0.0-20180206201540-c2b33e8439af // indirect
	github.com/joho/godotenv v1.3.0 // indirect
	github.com/json-iterator/go v1.1.7 // indirect
	github.com/kelseyhightower/envconfig v1.4.0 // indirect
	github.com/kubernetes-incubator/custom-metrics-apiserver v0.0.0-00010101000000-000000000000 // indirect
	github.com/mailru/easyjson v0.0.0-20190614124828-94de47d64c63 // indirect
	github.com/markbates/inflect v1.0.4 // indirect
	github.com/matttproud/golang_protobuf_extensions v1.0.1 // indirect
	github.com/modern-go/concurrent v0.0.0-20180306012644-bacd9c7ef1dd // indirect
	github.com/modern-go/reflect2 v1.0.1 // indirect
	github.com/munnerz/goautoneg v0.0.0-20190414153302-2ae31c8b6b30 // indirect
	github.com/openzipkin/zipkin-go v0.1.6 // indirect
	github.com/pborman/uuid v1.2.0 // indirect
	github.com/pkg/errors v0.8.1 // indirect
	github.com/prometheus/client_golang v1.0.0 // indirect
	github.com/prometheus/client_model v0.0.0-20190129233127-fd36f4220a90 // indirect
	github.com/prometheus/common v0.0.0-20181126121408-4724e9255275 // indirect
	github.com/prometheus/procfs v0.0.0-20181204211112-1dc9a6cbc91a // indirect
	github.com/spf13/pflag v1.0.3 // indirect
	go.opencensus.io v0.22.1 // indirect
	go.uber.org/atomic v1.3.2 // indirect
	go.uber.org/multierr v1.1.0 // indirect
	go.uber.org/zap v1.9.1 // indirect
	golang.org/x/crypto v0.0.0-20190923035154-9ee001bba392 // indirect
	golang.org/x/net v0.0.0-20190923162816-aa69164e4478 // indirect
	golang.org/x/oauth2 v0.0.0-20190604053449-0f29369cfe45 // indirect
	golang.org/x/sync v0.0.0-20190911185100-cd5d95a43a6e // indirect
	golang.org/x/sys v0.0.0-20190924154521-2837fb4f24fe // indirect
	golang.org/x/text v0.3.2 // indirect
	golang.org/x/time v0.0.0-20190921001708-c4c64cad1fd0 // indirect
	gomodules.xyz/jsonpatch/v2 v2.0.1 // indirect
	google.golang.org/api v0.10.0 // indirect
	google.golang.org/appengine v1.6.5 // indirect
	google.golang.org/genproto v0.0.0-20190916214212-f660b8655731 // indirect
	google.golang.org/grpc v1.23.1 // indirect
	gopkg.in/inf.v0 v0.9.1 // indirect
	gopkg.in/natefinch/lumberjack.v2 v2.0.0 // indirect
	gopkg.in/yaml.v2 v2.2.4 // indirect
	istio.io/api v0.0.0-20191109011807-2629c6ac1513 // indirect
	istio.io/client-go v0.0.0-00010101000000-000000000000 // indirect
	istio.io/gogo-genproto v0.0.0-20190930162913-45029607206a // indirect
	k8s.io/api v0.16.4 // indirect
	k8s.io/apiextensions-apiserver v0.0.0-20191114105449-027877536833 // indirect
	k8s.io/apimachinery v0.16.4 // indirect
	k8s.io/apiserver v0.16.4 // indirect
	k8s.io/client-go v0.16.4 // indirect
	k8s.io/component-base v0.16.4 // indirect
	k8s.io/klog v0.4.0 // indirect
	k8s.io/kube-openapi v0.0.0-20190816220812-743ec37842bf // indirect
	k8s.io/kubernetes v0.0.0-00010101000000-000000000000 // indirect
	k8s.io/metrics v0.0.0-00010101000000-000000000000 // indirect
	k8s.io/utils v0.0.0-20190801114015-581e00157fb1 // indirect
	knative.dev/caching v0.0.0-00010101000000-000000000000 // indirect
	knative.dev/pkg v0.0.0-00010101000000-000000000000 // indirect
	knative.dev/serving v0.13.0 // indirect
	sigs.k8s.io/structured-merge-diff v1.0.1 // indirect
	sigs.k8s.io/yaml v1.1.0 // indirect
)

// Knative Serving 0.13.0 has a lock file of dep, not a go.mod: these are its revisions, or tags beside them. reflect2 as from Go 1.18 on.
replace (
	contrib.go.opencensus.io/exporter/ocagent => contrib.go.opencensus.io/exporter/ocagent v0.6.0
	contrib.go.opencensus.io/exporter/prometheus => contrib.go.opencensus.io/exporter/prometheus v0.1.0
	contrib.go.opencensus.io/exporter/stackdriver => contrib.go.opencensus.io/exporter/stackdriver v0.12.9-0.20191108183826-59d068f8d8ff
	contrib.go.opencensus.io/exporter/zipkin => contrib.go.opencensus.io/exporter/zipkin v0.1.1
	github.com/beorn7/perks => github.com/beorn7/perks v1.0.0
	github.com/docker/docker => github.com/docker/docker v1.13.1
	github.com/go-logr/logr => github.com/go-logr/logr v0.1.0
	github.com/go-openapi/jsonpointer => github.com/go-openapi/jsonpointer v0.19.2
	github.com/go-openapi/jsonreference => github.com/go-openapi/jsonreference v0.19.2
	github.com/go-openapi/spec => github.com/go-openapi/spec v0.19.2
	github.com/go-openapi/swag => github.com/go-openapi/swag v0.19.2
	github.com/gogo/protobuf => github.com/gogo/protobuf v1.3.1
	github.com/golang/protobuf => github.com/golang/protobuf v1.3.2
	github.com/google/go-containerregistry => github.com/google/go-containerregistry v0.0.0-20190910142231-b02d448a3705
	github.com/google/gofuzz => github.com/google/gofuzz v1.1.0
	github.com/googleapis/gnostic => github.com/googleapis/gnostic v0.2.0
	github.com/gorilla/websocket => github.com/gorilla/websocket v1.4.0
	github.com/json-iterator/go => github.com/json-iterator/go v1.1.7
	github.com/kubernetes-incubator/custom-metrics-apiserver => github.com/kubernetes-incubator/custom-metrics-apiserver v0.0.0-20190918110929-3d9be26a50eb
	github.com/modern-go/reflect2 => github.com/modern-go/reflect2 v1.0.2
	github.com/openzipkin/zipkin-go => github.com/openzipkin/zipkin-go v0.2.2
	github.com/prometheus/client_golang => github.com/prometheus/client_golang v0.9.2
	github.com/prometheus/client_model => github.com/prometheus/client_model v0.0.0-20190129233127-fd36f4220a90
	github.com/prometheus/common => github.com/prometheus/common v0.4.1
	github.com/prometheus/procfs => github.com/prometheus/procfs v0.0.2
	github.com/spf13/pflag => github.com/spf13/pflag v1.0.5
	go.opencensus.io => go.opencensus.io v0.22.0
	go.uber.org/zap => go.uber.org/zap v1.9.2-0.20180814183419-67bc79d13d15
	gomodules.xyz/jsonpatch/v2 => gomodules.xyz/jsonpatch/v2 v2.0.1
	google.golang.org/grpc => google.golang.org/grpc v1.24.0
	google.golang.org/protobuf => google.golang.org/protobuf v1.21.0
	istio.io/api => istio.io/api v0.0.0-20191115173247-e1a1952e5b81
	istio.io/client-go => istio.io/client-go v0.0.0-20191120150049-26c62a04cdbc
	k8s.io/api => k8s.io/api v0.16.4
	k8s.io/apiextensions-apiserver => k8s.io/apiextensions-apiserver v0.16.4
	k8s.io/apimachinery => k8s.io/apimachinery v0.16.4
	k8s.io/apiserver => k8s.io/apiserver v0.16.4
	k8s.io/client-go => k8s.io/client-go v0.16.4
	k8s.io/component-base => k8s.io/component-base v0.16.4
	k8s.io/klog => k8s.io/klog v0.4.0
	k8s.io/kube-openapi => k8s.io/kube-openapi v0.0.0-20190816220812-743ec37842bf
	k8s.io/kubernetes => k8s.io/kubernetes v1.11.10
	k8s.io/metrics => k8s.io/metrics v0.16.4
	k8s.io/utils => k8s.io/utils v0.0.0-20190801114015-581e00157fb1
	knative.dev/caching => knative.dev/caching v0.0.0-20200116200605-67bca2c83dfa
	knative.dev/pkg => knative.dev/pkg v0.0.0-20200306230727-a56a6ea3fa56
	sigs.k8s.io/yaml => sigs.k8s.io/yaml v1.1.0
)
