"""A bundle becomes the next version of a model, wholly or not at all.

The way of a publication, file by file:

    publish, rollback    what is asked for becomes a draft (draft); the server, if one is named, is asked beforehand
    delivery             under the repository's lock, what killed publishers left behind is removed, then:
      predecessor        is the model that stands one that this version may follow? (camserve.contract_change)
      draft              the version's folder is written outside of Triton's sight and flushed to the disk
      onnx_check         ONNX Runtime loads it and answers the golden images (external_data)
      placing            its number is noted, it is renamed in, and `config.pbtxt` replaced (plan)
      going_live         the server loads it and answers the golden images, or all is put back
"""
