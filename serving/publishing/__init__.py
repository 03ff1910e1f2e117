"""Publishing: a bundle becomes the next version of a model, atomically.

The steps of a publication, by module:

    publish, rollback    define what is published as a draft (draft), and connect to the server, if one is named
    delivery             takes the repository's lock, removes what killed publishers left behind, then:
      predecessor          checks that the draft may follow the published model (camserve.contract_change)
      draft                writes the version's folder in the staging area and flushes it to the disk
      onnx_check           loads it in the runtime of its backend (runtime_sessions) and verifies its golden answers
                           (camserve.external_data)
      placement            allocates its number, renames it into the repository, replaces `config.pbtxt` (plan)
      activation           loads it on the server and verifies its golden answers as exactly as the server computes
                           (arithmetic), or rolls everything back
"""
