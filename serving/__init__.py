"""The REST API: published lists, predictions for rows, lists for baskets. Replicas stand behind a balancer, without Spark or a JVM."""
