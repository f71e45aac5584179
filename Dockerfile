# The page, the command lines and the DICOM node: `docker build -t lgg-demo .`
FROM python:3.11-slim AS installed
COPY requirements.txt .
RUN python -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir -r requirements.txt

FROM python:3.11-slim
COPY --from=installed /opt/venv /opt/venv
WORKDIR /opt/lgg-demo
COPY weights weights
COPY lgg_demo lgg_demo
# The spool of the node; a named volume that is mounted here takes its owner over.
RUN useradd --system --uid 10001 --create-home lgg && install -d -o lgg -g lgg -m 700 /var/lib/lgg-demo
USER lgg
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
ENTRYPOINT ["python", "-m"]
CMD ["lgg_demo.page.server"]
