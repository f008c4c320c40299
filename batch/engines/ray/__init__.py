"""`--engine ray`: replicas of the offline engine on the machines of a Ray cluster.

`engine` is the door. The rows, the journal and the retry rule stay in the driver; a replica is a
Ray actor around `OfflineEngine`, so the answers are those of the offline engine.

    engine -> replica -> replica_handle       the driver: one queue, a coroutine per replica
    session, actors                           Ray itself: connecting, placing, calling
    resources                                 what the cluster has and what is asked, as values
    replica_actor -> mailbox                  inside a Ray worker

Ray is imported here and nowhere else, by the functions that need it.
"""
