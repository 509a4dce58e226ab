"""The platform on servers: what the containers of docker-compose.yml run. Needs nothing but the standard library and `nightfold`."""
