"""What the story breaks of Determined."""

from faults import no_pods

FAULTS = {
    "above": [
        (
            "microk8s kubectl exec -n determined deploy/determined-db-deployment-determined -- "
            "psql -U postgres determined -c \"update users set password_hash = null where username = 'admin'\"",
            "admin gets in with an empty password",
        ),
        (
            "microk8s kubectl patch secret determined-keys -n determined "
            '-p \'{"stringData":{"secretKey":"not-the-key-at-all"}}\'',
            "secretKey is not ours",
        ),
    ],
    "away": [
        (
            "microk8s kubectl delete deployment determined-master-deployment-determined -n determined",
            "GET /api/v1/master gets no answer",
        )
    ],
    "below": [
        (
            no_pods("determined", "determined-db-deployment-determined", "app=determined-db-determined"),
            "the master does not reach its database",
        )
    ],
}
