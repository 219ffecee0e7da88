"""The words that a description may be made of, and those that it must never hold.

Closed on purpose: a word that is in no list is refused too, because nobody has decided that it is measured.
"""

from __future__ import annotations

from pipeline.descriptions.lexicon import WORDS, spellings


def _words(listed: str) -> frozenset[str]:
    return frozenset(word for pattern in listed.split() for word in spellings(pattern))


EMOTION_WORDS = _words(
    """
    emotion(|s|al|ally) emotive feel(|s|ing|ings) felt mood(|s|y) affect(|s|ive|ively) sentiment(|s|al)
    expressive(|ly|ness) neutral(|ly|ity) happ(y|ier|iest|ily|iness) joy(|s|ful|fully|fulness|ous|ously|less)
    glad(|ly|ness) cheer(|s|ful|fully|fulness|y) delight(|s|ed|edly|ful|fully) pleas(ed|ing|ant|antly|ure|urable)
    enjoy(|s|ed|ing|ment|able) elat(ed|ion) ecsta(sy|tic) bliss(|ful|fully) jubilant(|ly) merr(y|ily|iment)
    content(|ed|edly|ment) satisf(ied|action|ying|y) grat(eful|itude) amus(e|es|ed|ing|ement)
    laugh(|s|ed|ing|ter|able) chuckl(e|es|ed|ing) giggl(e|es|ed|ing) humo(r|rous|ur) fun funny playful(|ly|ness)
    mischievous(|ly) excit(e|es|ed|edly|ing|ement) enthusias(m|tic|tically) thrill(|s|ed|ing) eager(|ly|ness)
    lov(e|es|ed|ing|ingly|ely) affection(|ate|ately) tender(|ly|ness) fond(|ly|ness) ador(e|es|ed|ing|ation)
    lust(|ful) hope(|s|d|ful|fully) hoping optimis(m|tic) relie(f|ved|ve) triumph(|ant|antly) pride proud(|ly)
    smug(|ly|ness) confiden(t|tly|ce) sad(|ly|der|dest|ness|den|dened) unhapp(y|ily|iness) sorrow(|s|ful|fully)
    grie(f|ve|ves|ved|ving) melanchol(y|ic) gloom(|y|ily) miser(y|able|ably) depress(ed|ing|ion|ive)
    despair(|s|ed|ing|ingly) despondent(|ly) dejected(|ly) mourn(|s|ful|fully|ing) lonel(y|iness) heartbroken
    hurt(|s|ful) upset(|s|ting) cry cries cried crying weep(|s|ing|y) wept sob(|s|bed|bing) tear(s|ful|fully|y)
    wistful(|ly) nostalgi(a|c) regret(|s|ful|fully|ted) pit(y|ies|ied|iful) sympath(y|etic) compassion(|ate|ately)
    empath(y|ic) disappoint(|s|ed|edly|ing|ment) helpless(|ly|ness) hopeless(|ly|ness) powerless(|ly|ness)
    desperat(e|ely|ion) ang(er|ers|ered|ry|rier|rily) furious(|ly) fury rag(e|es|ing) mad(|ly|ness)
    irritat(e|es|ed|edly|ing|ion) annoy(|s|ed|ing|ance) frustrat(e|ed|edly|ing|ion) resent(|s|ful|fully|ment)
    hostil(e|ely|ity) hat(e|es|ed|red|eful) aggress(ive|ively|ion) outrage(|d) indign(ant|antly|ation)
    scorn(|ful|fully) contempt(|uous|uously) disdain(|s|ful|fully) sneer(|s|ed|ing) sarcas(m|tic|tically)
    mock(|s|ed|ing|ery) jealous(|ly|y) env(y|ious|iously) grump(y|ily) sulk(|s|y|ing) threat(en|ening|eningly)
    menacing(|ly) disgust(|s|ed|edly|ing) revulsion revolted repuls(ed|ion|ive) avers(e|ion) distaste(|ful)
    nause(a|ous|ated) displeas(ed|ure) fear(|s|ed|ful|fully|less) afraid scar(ed|y|es) frighten(|s|ed|ing) fright
    terr(or|ified|ify|ifying) horr(or|ified|ifying|ific) panic(|s|ked|ky) dread(|s|ful|ing) alarm(|s|ed|ing)
    anxi(ety|ous|ously|eties) worr(y|ies|ied|iedly|ying) nervous(|ly|ness) uneas(y|ily|e|iness)
    apprehens(ive|ively|ion) concern(|s|ed|ing) distress(|ed|ing) stress(|ed|ful) tens(e|ed|ely|ion|ions)
    agitat(ed|ion) insecur(e|ity) shy(|ly|ness) timid(|ly|ity) vulnerab(le|ility) suspic(ion|ious|iously)
    distrust(|ful) surpris(e|es|ed|edly|ing|ingly) astonish(|ed|ing|ment) amaz(e|ed|ing|ement) shock(|s|ed|ing)
    startl(e|es|ed|ing) stunned awe(|d|some) wonder(|s|ed|ing|ment) bewilder(ed|ment) disbelie(f|ve|ving|vingly)
    incredul(ous|ously|ity) impressed confus(e|es|ed|edly|ing|ion) puzzl(e|ed|ing|ement) perplexed
    doubt(|s|ful|fully|ing) skeptic(|al|ally|ism) sceptic(|al|ally|ism) curio(us|usly|sity) interest(|s|ed|edly|ing)
    bor(ed|ing|edom) indifferen(t|tly|ce) apath(y|etic) tired(|ly|ness) fatigue(|d) exhaust(ed|ion) sleep(y|ily|iness)
    weary wear(ily|iness) calm(|s|ed|ly|ness) peace(|ful|fully) seren(e|ely|ity) relaxed relaxation
    thoughtful(|ly|ness) pensive(|ly) contemplat(e|es|ing|ive|ion) concentrat(e|es|ed|ing|ion) focus(|ed|es|ing)
    determin(ed|ation) serious(|ly|ness) solemn(|ly) stern(|ly) stoic(|al|ally) resign(ed|edly|ation) guilt(|y|ily)
    sham(e|ed|eful) asham(ed|edly) embarrass(|ed|ing|ment) humiliat(ed|ion) remorse(|ful) pain(|s|ed|ful|fully)
    suffer(|s|ed|ing) agon(y|ised|ized|ising|izing) friendl(y|iness) kind(|ly|ness) warm(|ly|th) cold(|ly|ness)
    polite(|ly|ness) flirt(|s|ing|atious|atiously) seduct(ive|ively) sincere(|ly) genuine(|ly) fake(|d) forced
    insincere(|ly) ironic(|ally) smirk(|s|ed|ing) grimac(e|es|ed|ing) pout(|s|ed|ing) scowl(|s|ed|ing)
    glar(e|es|ed|ing) sigh(|s|ed|ing) gasp(|s|ed|ing) joke(|s) joking intense-looking positiv(e|ely|ity)
    negativ(e|ely|ity) valence arousal psycholog(y|ical) mental(|ly) mind(|s) thought(|s) think(|s|ing)
    want(|s|ed|ing) wish(|es|ing) intend(|s|ed|ing) intent(ion|ions|ional|ionally) deliberate(|ly)
    """
)
"""Emotions and the inner life, with the labels of the usual corpora; a configuration may allow them."""

FORBIDDEN = _words(
    """
    identity name(|s|d) celebrit(y|ies) famous actor(|s) actress(|es) singer(|s) politician(|s) president star doctor
    teacher student baby babies boy(|s) boyfriend brother(|s) child children father(|s) female(|s) gentleman gentlemen
    girl(|s) girlfriend guy(|s) he him himself his her hers herself she kid(|s) lad lady ladies male(|s) man men
    mother(|s) sister(|s) son daughter husband wife masculine feminine gender(|s) sex woman women transgender
    human(|s) people adolescent(|s) adult(|s) age(|s|d|ing) elder(|ly|s) infant(|s) middle-aged old(|er|est)
    senior(|s) teen(|s|age|ager|agers) toddler(|s) young(|er|est|ster) youth(|ful) mature year(|s) twenties thirties
    forties fifties sixties seventies africa(|n|ns) america(|n|ns) arab(|s|ic) asia(|n|ns) black(|s) brown
    caucasian(|s) chinese ethnic(|ity|ities) europe(|an|ans) foreign(|er) hispanic indian(|s) indigenous japanese
    jewish korean latin(|a|o|x) mixed-race muslim nationality race(|s) racial skin complexion tan(|ned) white(|s)
    attractive beaut(y|iful|ifully) handsome pretty ugly cute fat thin slim chubby bald(|ing) beard(|s|ed) blond(|e)
    braid(|s|ed) clean-shaven cosmetics eyelash(|es) eyeliner freckle(|s|d) goatee hair(|s|y|ed|style|line) haircut
    lipstick make-up makeup mole(|s) moustache(|d) mustache(|d) piercing(|s) ponytail redhead(|ed) scar(|s|red)
    stubble tattoo(|s|ed) wig apron blouse cap(|s) cloth(|es|ed|ing) coat collar costume dress(|es|ed) earring(|s)
    eyeglasses glasses glove(|s) hat(|s) headband headphones headscarf hijab hood(|ie|ed) jacket(|s) jewel(ry|lery|s)
    mask(|s|ed) necklace(|s) outfit pants scarf shirt(|s) spectacles suit(|s) sunglasses sweater(|s) tie t-shirt
    turban uniform(|s) veil(|ed) wear(|s|ing) wore worn audience background bedroom camera(|s|man) car chair(|s)
    church city crowd(|s) desk(|s) door(|s) film(|s|ed|ing) frame(|s) foreground garden home hospital house image(|s)
    indoor(|s) kitchen lamp(|s) landscape lens lighting lights microphone(|s) movie(|s) office outdoor(|s) outside
    park photo(|s|graph|graphs) picture(|s) pixel(|s) place(|s) podium portrait restaurant road room(|s) scene(|s)
    school screen(|s) selfie setting shop shot(|s) sky sofa stage street(|s) studio television theater theatre
    tree(|s) vehicle wall(|s) window(|s) work audio clap(|s|ping) cough(|s|ing) hear(|s|d|ing) hum(|s|ming)
    listen(|s|ing) loud(|ly) mumbl(e|es|ing) murmur(|s|ing) music noise(|s) quiet(|ly) say(|s|ing) scream(|s|ed|ing)
    shout(|s|ed|ing) silen(t|tly|ce) sing(|s|ing) sneez(e|es|ing) sound(|s|ed) speak(|s|ing|er) speech spoke spoken
    talk(|s|ed|ing) utter(|s|ed|ing) voice(|s) whisper(|s|ed|ing) whistl(e|es|ing) word(|s) yawn(|s|ed|ing)
    yell(|s|ing) autis(m|tic) blind clinical deaf diagnos(e|ed|es|is|tic) disab(led|ility) disease disorder(|s)
    drug(|s) drunk ill illness injur(ed|y) medical medicine palsy paralys(ed|is) paralyzed parkinson patholog(y|ical)
    patient(|s) psychiatric sick sickness stroke(|s) symptom(|s) syndrome(|s) therapy trauma(|tic) wound(|s|ed) ai
    algorithm(|s) analysis annotat(e|ed|ion|or) answer(|s|ed) apolog(ies|ise|ize|y) api as-requested assistant(|s)
    chatbot claim(|s|ed) classif(y|ied|ication) code context data dataset detect(|ed|ion|or) draft(|s) error(|s)
    evidence example(|s) explanation format(|ted) function generat(e|ed|ing|ion) html http i i'm im input(|s)
    ignor(e|es|ed|ing) instruct(|ed|ion|ions) json key(|s) label(|s|ed|led) language llm markdown me measurement(|s)
    message(|s) model(|s) my myself note(|s) null output(|s) paragraph please policy prompt(|s|ed) query question(|s)
    refus(e|ed|al) request(|s|ed) respon(d|se|ses) role rule(|s) schema score(|s) script(|s) sentence(|s) server sorry
    summar(y|ise|ize) system(|s) task(|s) template text(|s) thank(|s) token(|s) translat(e|ion) us user(|s) we you
    your yours yourself
    """
)
"""Identity, sex, age, ethnicity, looks, clothes, places, sounds, clinical states, and words of prompts and machines."""

VOCABULARY = WORDS
"""What a description of facial movement needs: every word that the reader knows the meaning of, and no other."""
