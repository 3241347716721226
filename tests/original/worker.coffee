hera = require "hera-client"
database = require "./lib/database"
heraClient = hera {secret: process.env.SECRET, zk: process.env.HERA}
# Hera endpoint this worker is capable of serving
heraClient.get "/0/metrics-api", (req, res, next) ->
  database.find {id: req.data.id}, (e, result) ->
    return next e if e
    res.json result
# register this worker on Hera, and start serving requests
heraClient.connect () ->
  console.log "connected to hera"
